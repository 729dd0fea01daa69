package directory

import (
	"maps"
	"slices"
)

// Page selects a part of a list that is sorted by name.
type Page struct {
	// After is the name that comes before the part; empty means from the begin.
	After string
	Limit int
}

// Users returns one page of users and the value of After for the next page, empty after the last one.
func (d *Directory) Users(page Page) ([]User, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	names, next := page.cut(d.state.userByName)
	users := make([]User, 0, len(names))
	for _, name := range names {
		users = append(users, d.state.users[d.state.userByName[name]])
	}
	return users, next
}

// Organizations returns one page of organizations, as Users does.
func (d *Directory) Organizations(page Page) ([]Organization, string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	names, next := page.cut(d.state.organizationNames)
	organizations := make([]Organization, 0, len(names))
	for _, name := range names {
		organizations = append(organizations, d.state.organizations[d.state.organizationNames[name]].clone())
	}
	return organizations, next
}

// cut returns the names on the page and the name to continue after.
func (p Page) cut(byName map[string]string) ([]string, string) {
	names := slices.Sorted(maps.Keys(byName))
	start, found := slices.BinarySearch(names, p.After)
	if found {
		start++
	}
	names = names[start:]
	if len(names) <= p.Limit {
		return names, ""
	}
	return names[:p.Limit], names[p.Limit-1]
}
