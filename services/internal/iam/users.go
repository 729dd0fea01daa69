package iam

import (
	"net/http"

	"procession.example/services/internal/directory"
	"procession.example/services/internal/httpjson"
)

type userList struct {
	Users []directory.User `json:"users"`
	Next  string           `json:"next,omitempty"`
}

func (s *routes) listUsers(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	p, err := page(r)
	if err != nil {
		return 0, nil, err
	}
	users, next := s.directory.Users(p)
	return http.StatusOK, userList{users, next}, nil
}

func (s *routes) createUser(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var in directory.UserInput
	if err := httpjson.Read(w, r, &in); err != nil {
		return 0, nil, err
	}
	user, err := s.directory.CreateUser(in)
	if err == nil {
		w.Header().Set("Location", "/v1/users/"+user.ID)
	}
	return http.StatusCreated, user, err
}

func (s *routes) getUser(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	user, err := s.directory.User(r.PathValue("id"))
	return http.StatusOK, user, err
}

func (s *routes) updateUser(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var in directory.UserInput
	if err := httpjson.Read(w, r, &in); err != nil {
		return 0, nil, err
	}
	user, err := s.directory.UpdateUser(r.PathValue("id"), in)
	return http.StatusOK, user, err
}

func (s *routes) deleteUser(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.directory.DeleteUser(r.PathValue("id"))
}
