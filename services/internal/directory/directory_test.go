package directory

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func open(t *testing.T, folder string) *Directory {
	t.Helper()
	d, err := Open(folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// must ends the test on an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func input(name string) UserInput {
	return UserInput{Name: name, Email: name + "@example.org"}
}

func TestUserLife(t *testing.T) {
	d := open(t, t.TempDir())
	user := must[User](t)
	ada := user(d.CreateUser(UserInput{Name: "ada", Email: "Ada@example.org", DisplayName: "Ada L."}))
	if got := user(d.User(ada.ID)); got != ada {
		t.Errorf("got %+v, want %+v", got, ada)
	}
	changed := user(d.UpdateUser(ada.ID, UserInput{Name: "countess", Email: "ada@example.org"}))
	if changed.Name != "countess" || changed.ID != ada.ID || changed.Created != ada.Created || changed.DisplayName != "" {
		t.Errorf("changed = %+v", changed)
	}
	user(d.CreateUser(input("ada2")))
	if again := user(d.CreateUser(UserInput{Name: "ada", Email: "a@example.org"})); again.ID == ada.ID {
		t.Error("the same ID twice")
	}
	if err := d.DeleteUser(ada.ID); err != nil {
		t.Fatal(err)
	}
	var missing *NotFoundError
	if _, err := d.User(ada.ID); !errors.As(err, &missing) || missing.Kind != "user" {
		t.Errorf("err = %v", err)
	}
	if err := d.DeleteUser(ada.ID); !errors.As(err, &missing) {
		t.Errorf("err = %v", err)
	}
	if _, err := d.UpdateUser(ada.ID, input("countess")); !errors.As(err, &missing) {
		t.Errorf("err = %v", err)
	}
	user(d.CreateUser(UserInput{Name: "countess", Email: "ADA@example.org"}))
}

func TestUserConflicts(t *testing.T) {
	d := open(t, t.TempDir())
	user := must[User](t)
	user(d.CreateUser(input("ada")))
	bob := user(d.CreateUser(input("bob")))
	for _, test := range []struct {
		in    UserInput
		field string
	}{
		{UserInput{Name: "ada", Email: "new@example.org"}, "name"},
		{UserInput{Name: "new", Email: "ADA@example.org"}, "email"},
	} {
		_, createErr := d.CreateUser(test.in)
		_, updateErr := d.UpdateUser(bob.ID, test.in)
		for _, err := range []error{createErr, updateErr} {
			var conflict *ConflictError
			if !errors.As(err, &conflict) || conflict.Field != test.field {
				t.Errorf("%+v: err = %v", test.in, err)
			}
		}
	}
	if got := user(d.User(bob.ID)); got != bob {
		t.Errorf("bob = %+v", got)
	}
	user(d.UpdateUser(bob.ID, input("bob")))
}

func TestValidation(t *testing.T) {
	d := open(t, t.TempDir())
	for _, test := range []struct {
		in    UserInput
		field string
	}{
		{UserInput{"", "a@b.c", ""}, "name"},
		{UserInput{"a", "a@b.c", ""}, "name"},
		{UserInput{"1a", "a@b.c", ""}, "name"},
		{UserInput{"Ada", "a@b.c", ""}, "name"},
		{UserInput{"ad a", "a@b.c", ""}, "name"},
		{UserInput{"ada-", "a@b.c", ""}, "name"},
		{UserInput{"adä", "a@b.c", ""}, "name"},
		{UserInput{strings.Repeat("a", 33), "a@b.c", ""}, "name"},
		{UserInput{"ada", "", ""}, "email"},
		{UserInput{"ada", "ada", ""}, "email"},
		{UserInput{"ada", "Ada <a@b.c>", ""}, "email"},
		{UserInput{"ada", strings.Repeat("a", 251) + "@b.c", ""}, "email"},
		{UserInput{"ada", "a@b.c", " Ada"}, "display_name"},
		{UserInput{"ada", "a@b.c", "A\nda"}, "display_name"},
		{UserInput{"ada", "a@b.c", strings.Repeat("ä", 101)}, "display_name"},
	} {
		_, err := d.CreateUser(test.in)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Field != test.field {
			t.Errorf("%+v: err = %v", test.in, err)
		}
	}
	if _, err := d.CreateUser(UserInput{"a-1", "a@b.c", strings.Repeat("ä", 100)}); err != nil {
		t.Error(err)
	}
	var invalid *InvalidError
	if _, err := d.CreateOrganization(OrganizationInput{Name: "X"}); !errors.As(err, &invalid) {
		t.Errorf("err = %v", err)
	}
	if _, err := d.UpdateOrganization("x", OrganizationInput{Name: "X"}); !errors.As(err, &invalid) {
		t.Errorf("err = %v", err)
	}
}

func TestOrganizationLife(t *testing.T) {
	d := open(t, t.TempDir())
	user, organization := must[User](t), must[Organization](t)
	ada, bob := user(d.CreateUser(input("ada"))), user(d.CreateUser(input("bob")))
	org := organization(d.CreateOrganization(OrganizationInput{Name: "engine"}))
	organization(d.AddMember(org.ID, ada.ID))
	organization(d.AddMember(org.ID, bob.ID))
	if got := organization(d.AddMember(org.ID, bob.ID)); len(got.Members) != 2 {
		t.Errorf("members = %v", got.Members)
	}
	if got := organization(d.UpdateOrganization(org.ID, OrganizationInput{Name: "mill"})); len(got.Members) != 2 || got.Name != "mill" {
		t.Errorf("got %+v", got)
	}
	if got := organization(d.RemoveMember(org.ID, ada.ID)); !reflect.DeepEqual(got.Members, []string{bob.ID}) {
		t.Errorf("members = %v", got.Members)
	}
	if err := d.DeleteUser(bob.ID); err != nil {
		t.Fatal(err)
	}
	if got := organization(d.Organization(org.ID)); len(got.Members) != 0 {
		t.Errorf("members = %v", got.Members)
	}
	var missing *NotFoundError
	if _, err := d.AddMember(org.ID, bob.ID); !errors.As(err, &missing) || missing.Kind != "user" {
		t.Errorf("err = %v", err)
	}
	if err := d.DeleteOrganization(org.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Organization(org.ID); !errors.As(err, &missing) || missing.Kind != "organization" {
		t.Errorf("err = %v", err)
	}
	organization(d.CreateOrganization(OrganizationInput{Name: "mill"}))
	var conflict *ConflictError
	if _, err := d.CreateOrganization(OrganizationInput{Name: "mill"}); !errors.As(err, &conflict) {
		t.Errorf("err = %v", err)
	}
}

func TestPages(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"cc", "aa", "bb", "dd"} {
		must[User](t)(d.CreateUser(input(name)))
		must[Organization](t)(d.CreateOrganization(OrganizationInput{Name: name}))
	}
	for _, test := range []struct {
		page        Page
		names, next string
	}{
		{Page{"", 10}, "aa bb cc dd", ""},
		{Page{"", 2}, "aa bb", "bb"},
		{Page{"bb", 2}, "cc dd", ""},
		{Page{"b", 1}, "bb", "bb"},
		{Page{"dd", 1}, "", ""},
	} {
		users, next := d.Users(test.page)
		var names []string
		for _, user := range users {
			names = append(names, user.Name)
		}
		if got := strings.Join(names, " "); got != test.names || next != test.next {
			t.Errorf("%+v: users %q, next %q", test.page, got, next)
		}
		organizations, next := d.Organizations(test.page)
		if len(organizations) != len(users) || next != test.next {
			t.Errorf("%+v: organizations %+v, next %q", test.page, organizations, next)
		}
	}
}

func TestReopenAndCompaction(t *testing.T) {
	folder := t.TempDir()
	d := open(t, folder)
	user, organization := must[User](t), must[Organization](t)
	ada, bob := user(d.CreateUser(input("ada"))), user(d.CreateUser(input("bob")))
	org := organization(d.CreateOrganization(OrganizationInput{Name: "engine"}))
	organization(d.AddMember(org.ID, ada.ID))
	org = organization(d.AddMember(org.ID, bob.ID))
	for i := range compactLeast {
		in := input("ada")
		in.DisplayName = strconv.Itoa(i)
		ada = user(d.UpdateUser(ada.ID, in))
	}
	if got := d.store.Records(); got > compactLeast/2 {
		t.Errorf("%d records after compaction", got)
	}
	if err := d.DeleteUser(bob.ID); err != nil {
		t.Fatal(err)
	}
	d.Close()
	d = open(t, folder)
	if got := user(d.User(ada.ID)); got != ada {
		t.Errorf("ada = %+v, want %+v", got, ada)
	}
	if got := organization(d.Organization(org.ID)); !reflect.DeepEqual(got, org.withoutMember(bob.ID)) {
		t.Errorf("organization = %+v", got)
	}
	if users, _ := d.Users(Page{Limit: 10}); len(users) != 1 {
		t.Errorf("users = %+v", users)
	}
}

func TestUnknownRecordsAreRefused(t *testing.T) {
	for _, text := range []string{`{}`, `{"put_team":{}}`, `[]`} {
		if err := newState().replay([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	d := open(t, t.TempDir())
	d.store.Close()
	if _, err := d.CreateUser(input("ada")); err == nil {
		t.Fatal("no error")
	}
	if users, _ := d.Users(Page{Limit: 10}); len(users) != 0 {
		t.Errorf("users = %+v", users)
	}
	if d.Ready() == nil {
		t.Error("ready with a closed store")
	}
}

func TestFolderMustBeUsable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}
