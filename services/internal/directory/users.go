package directory

// CreateUser adds a user.
func (d *Directory) CreateUser(in UserInput) (User, error) {
	if err := in.validate(); err != nil {
		return User{}, err
	}
	created := now()
	user := User{ID: newID(), Name: in.Name, Email: in.Email, DisplayName: in.DisplayName, Created: created, Updated: created}
	err := d.change(func(s *state) (record, error) {
		return record{PutUser: &user}, s.checkUser(user)
	})
	return user, err
}

// User returns one user.
func (d *Directory) User(id string) (User, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.user(id)
}

// UpdateUser replaces what clients give for a user.
func (d *Directory) UpdateUser(id string, in UserInput) (User, error) {
	if err := in.validate(); err != nil {
		return User{}, err
	}
	var user User
	err := d.change(func(s *state) (record, error) {
		var err error
		if user, err = s.user(id); err != nil {
			return record{}, err
		}
		user.Name, user.Email, user.DisplayName, user.Updated = in.Name, in.Email, in.DisplayName, now()
		return record{PutUser: &user}, s.checkUser(user)
	})
	return user, err
}

// DeleteUser removes a user, also from all organizations.
func (d *Directory) DeleteUser(id string) error {
	return d.change(func(s *state) (record, error) {
		_, err := s.user(id)
		return record{DeleteUser: id}, err
	})
}

func (s *state) user(id string) (User, error) {
	user, ok := s.users[id]
	if !ok {
		return User{}, &NotFoundError{"user", id}
	}
	return user, nil
}

// checkUser finds conflicts with other users.
func (s *state) checkUser(user User) error {
	if id, taken := s.userByName[user.Name]; taken && id != user.ID {
		return &ConflictError{"name", user.Name}
	}
	if id, taken := s.userByEmail[foldEmail(user.Email)]; taken && id != user.ID {
		return &ConflictError{"email", user.Email}
	}
	return nil
}
