package directory

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"iter"
)

// record is one change as the store keeps it; exactly one field is set.
type record struct {
	PutUser            *User         `json:"put_user,omitempty"`
	DeleteUser         string        `json:"delete_user,omitempty"`
	PutOrganization    *Organization `json:"put_organization,omitempty"`
	DeleteOrganization string        `json:"delete_organization,omitempty"`
}

// state is the sum of all changes, with indexes for what must be unique.
type state struct {
	users             map[string]User
	userByName        map[string]string
	userByEmail       map[string]string
	organizations     map[string]Organization
	organizationNames map[string]string
}

func newState() *state {
	return &state{
		users:             make(map[string]User),
		userByName:        make(map[string]string),
		userByEmail:       make(map[string]string),
		organizations:     make(map[string]Organization),
		organizationNames: make(map[string]string),
	}
}

// replay applies a record that was read from the store.
func (s *state) replay(text []byte) error {
	var r record
	if err := json.Unmarshal(text, &r, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	if r == (record{}) {
		return errors.New("record holds no change")
	}
	s.apply(r)
	return nil
}

func (s *state) apply(r record) {
	switch {
	case r.PutUser != nil:
		s.putUser(*r.PutUser)
	case r.DeleteUser != "":
		s.deleteUser(r.DeleteUser)
	case r.PutOrganization != nil:
		s.putOrganization(*r.PutOrganization)
	case r.DeleteOrganization != "":
		s.deleteOrganization(r.DeleteOrganization)
	}
}

func (s *state) putUser(user User) {
	s.unindexUser(user.ID)
	s.users[user.ID] = user
	s.userByName[user.Name] = user.ID
	s.userByEmail[foldEmail(user.Email)] = user.ID
}

// deleteUser also ends all memberships, so that one record suffices for both.
func (s *state) deleteUser(id string) {
	s.unindexUser(id)
	delete(s.users, id)
	for key, organization := range s.organizations {
		s.organizations[key] = organization.withoutMember(id)
	}
}

func (s *state) unindexUser(id string) {
	if old, ok := s.users[id]; ok {
		delete(s.userByName, old.Name)
		delete(s.userByEmail, foldEmail(old.Email))
	}
}

func (s *state) putOrganization(organization Organization) {
	delete(s.organizationNames, s.organizations[organization.ID].Name)
	s.organizations[organization.ID] = organization
	s.organizationNames[organization.Name] = organization.ID
}

func (s *state) deleteOrganization(id string) {
	delete(s.organizationNames, s.organizations[id].Name)
	delete(s.organizations, id)
}

// size is the number of records that all returns.
func (s *state) size() int {
	return len(s.users) + len(s.organizations)
}

// all returns the fewest records that lead to the state.
func (s *state) all() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, user := range s.users {
			if !yield(json.Marshal(record{PutUser: &user})) {
				return
			}
		}
		for _, organization := range s.organizations {
			if !yield(json.Marshal(record{PutOrganization: &organization})) {
				return
			}
		}
	}
}
