package directory

// CreateOrganization adds an organization without members.
func (d *Directory) CreateOrganization(in OrganizationInput) (Organization, error) {
	if err := in.validate(); err != nil {
		return Organization{}, err
	}
	created := now()
	organization := Organization{ID: newID(), Name: in.Name, DisplayName: in.DisplayName, Created: created, Updated: created}
	err := d.change(func(s *state) (record, error) {
		return record{PutOrganization: &organization}, s.checkOrganization(organization)
	})
	return organization, err
}

// Organization returns one organization.
func (d *Directory) Organization(id string) (Organization, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.organization(id)
}

// UpdateOrganization replaces what clients give for an organization; its members stay.
func (d *Directory) UpdateOrganization(id string, in OrganizationInput) (Organization, error) {
	if err := in.validate(); err != nil {
		return Organization{}, err
	}
	return d.changeOrganization(id, func(s *state, organization Organization) (Organization, error) {
		organization.Name, organization.DisplayName = in.Name, in.DisplayName
		return organization, s.checkOrganization(organization)
	})
}

// DeleteOrganization removes an organization; its members stay users.
func (d *Directory) DeleteOrganization(id string) error {
	return d.change(func(s *state) (record, error) {
		_, err := s.organization(id)
		return record{DeleteOrganization: id}, err
	})
}

// AddMember makes a user a member of an organization, if it is not one already.
func (d *Directory) AddMember(id, user string) (Organization, error) {
	return d.changeOrganization(id, func(s *state, organization Organization) (Organization, error) {
		_, err := s.user(user)
		return organization.withMember(user), err
	})
}

// RemoveMember ends a membership, if there is one.
func (d *Directory) RemoveMember(id, user string) (Organization, error) {
	return d.changeOrganization(id, func(s *state, organization Organization) (Organization, error) {
		_, err := s.user(user)
		return organization.withoutMember(user), err
	})
}

func (d *Directory) changeOrganization(id string, edit func(*state, Organization) (Organization, error)) (Organization, error) {
	var organization Organization
	err := d.change(func(s *state) (record, error) {
		old, err := s.organization(id)
		if err != nil {
			return record{}, err
		}
		if organization, err = edit(s, old); err != nil {
			return record{}, err
		}
		organization.Updated = now()
		return record{PutOrganization: &organization}, nil
	})
	return organization.clone(), err
}

func (s *state) organization(id string) (Organization, error) {
	organization, ok := s.organizations[id]
	if !ok {
		return Organization{}, &NotFoundError{"organization", id}
	}
	return organization.clone(), nil
}

// checkOrganization finds conflicts with other organizations.
func (s *state) checkOrganization(organization Organization) error {
	if id, taken := s.organizationNames[organization.Name]; taken && id != organization.ID {
		return &ConflictError{"name", organization.Name}
	}
	return nil
}
