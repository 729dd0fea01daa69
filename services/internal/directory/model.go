// Package directory manages users and organizations and keeps them in a store.
package directory

import (
	"slices"
	"time"
)

// User is a person who may use the application.
type User struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Email       string    `json:"email"`
	DisplayName string    `json:"display_name"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// UserInput is what clients give for a user.
type UserInput struct {
	Name        string `json:"name"`
	Email       string `json:"email"`
	DisplayName string `json:"display_name"`
}

// Organization is a group of users.
type Organization struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	DisplayName string    `json:"display_name"`
	Members     []string  `json:"members"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// OrganizationInput is what clients give for an organization.
type OrganizationInput struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
}

// clone separates the members from those in the state.
func (o Organization) clone() Organization {
	o.Members = slices.Clone(o.Members)
	return o
}

// withMember returns a copy that has the user as a member.
func (o Organization) withMember(user string) Organization {
	o = o.clone()
	if at, found := slices.BinarySearch(o.Members, user); !found {
		o.Members = slices.Insert(o.Members, at, user)
	}
	return o
}

// withoutMember returns a copy that does not have the user as a member.
func (o Organization) withoutMember(user string) Organization {
	o = o.clone()
	if at, found := slices.BinarySearch(o.Members, user); found {
		o.Members = slices.Delete(o.Members, at, at+1)
	}
	return o
}
