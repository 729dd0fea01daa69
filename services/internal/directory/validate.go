package directory

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minName        = 2
	maxName        = 32
	maxEmail       = 254
	maxDisplayName = 100
)

const (
	nameRule        = "2 to 32 characters of a-z, 0-9 and -, with a letter first and no - last"
	emailRule       = "an address as name@domain of at most 254 characters"
	displayNameRule = "at most 100 characters without control characters and outer spaces"
)

func (in UserInput) validate() error {
	if err := validateNames(in.Name, in.DisplayName); err != nil {
		return err
	}
	if !validEmail(in.Email) {
		return &InvalidError{"email", emailRule}
	}
	return nil
}

func (in OrganizationInput) validate() error {
	return validateNames(in.Name, in.DisplayName)
}

func validateNames(name, displayName string) error {
	if !validName(name) {
		return &InvalidError{"name", nameRule}
	}
	if !validDisplayName(displayName) {
		return &InvalidError{"display_name", displayNameRule}
	}
	return nil
}

func validName(name string) bool {
	if len(name) < minName || len(name) > maxName || strings.HasSuffix(name, "-") {
		return false
	}
	for i, c := range name {
		letter := 'a' <= c && c <= 'z'
		other := '0' <= c && c <= '9' || c == '-'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return true
}

// validEmail accepts only a bare address, without a display name or a comment.
func validEmail(email string) bool {
	parsed, err := mail.ParseAddress(email)
	return err == nil && parsed.Address == email && len(email) <= maxEmail
}

func validDisplayName(name string) bool {
	return utf8.RuneCountInString(name) <= maxDisplayName &&
		strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, unicode.IsControl)
}

// foldEmail makes addresses that reach the same mailbox in practice equal.
func foldEmail(email string) string {
	return strings.ToLower(email)
}
