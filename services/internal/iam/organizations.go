package iam

import (
	"net/http"

	"procession.example/services/internal/directory"
	"procession.example/services/internal/httpjson"
)

type organizationList struct {
	Organizations []directory.Organization `json:"organizations"`
	Next          string                   `json:"next,omitempty"`
}

func (s *routes) listOrganizations(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	p, err := page(r)
	if err != nil {
		return 0, nil, err
	}
	organizations, next := s.directory.Organizations(p)
	return http.StatusOK, organizationList{organizations, next}, nil
}

func (s *routes) createOrganization(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var in directory.OrganizationInput
	if err := httpjson.Read(w, r, &in); err != nil {
		return 0, nil, err
	}
	organization, err := s.directory.CreateOrganization(in)
	if err == nil {
		w.Header().Set("Location", "/v1/organizations/"+organization.ID)
	}
	return http.StatusCreated, organization, err
}

func (s *routes) getOrganization(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	organization, err := s.directory.Organization(r.PathValue("id"))
	return http.StatusOK, organization, err
}

func (s *routes) updateOrganization(w http.ResponseWriter, r *http.Request) (int, any, error) {
	var in directory.OrganizationInput
	if err := httpjson.Read(w, r, &in); err != nil {
		return 0, nil, err
	}
	organization, err := s.directory.UpdateOrganization(r.PathValue("id"), in)
	return http.StatusOK, organization, err
}

func (s *routes) deleteOrganization(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.directory.DeleteOrganization(r.PathValue("id"))
}

func (s *routes) addMember(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	organization, err := s.directory.AddMember(r.PathValue("id"), r.PathValue("user"))
	return http.StatusOK, organization, err
}

func (s *routes) removeMember(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	organization, err := s.directory.RemoveMember(r.PathValue("id"), r.PathValue("user"))
	return http.StatusOK, organization, err
}
