package auth

import (
	"context"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/auth/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// UserChange is what an admin may change of a user; nil keeps.
type UserChange struct {
	Role     *Role
	Disabled *bool
	Password *string
}

func noUser(id int64) error {
	return errs.Ef(errs.NotFound, "auth.user_not_found", "There is no user %d.", id)
}

func (r Role) valid() bool { return slices.Contains([]Role{Admin, Editor, Viewer}, r) }

func errRole(r Role) error {
	return errs.E(errs.Invalid, "auth.invalid_role", "The role is not known.",
		errs.Detail{Location: "body.role", Message: fmt.Sprintf("is %q; admin, editor and viewer are accepted", r)})
}

// ListUsers gives users, newest first.
func (s *Service) ListUsers(ctx context.Context, before int64, limit int32) ([]User, error) {
	rows, err := s.q.ListUsers(ctx, s.db, dbsqlc.ListUsersParams{BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return rows, nil
}

// GetUser gives one user. Errors: not_found.
func (s *Service) GetUser(ctx context.Context, id int64) (User, error) {
	u, err := s.q.GetUser(ctx, s.db, id)
	if postgres.NotFound(err) {
		return u, noUser(id)
	}
	if err != nil {
		return u, fmt.Errorf("load user %d: %w", id, err)
	}
	return u, nil
}

// CreateUser adds a user. Errors: invalid, conflict when the address is taken.
func (s *Service) CreateUser(ctx context.Context, by int64, email, password string, role Role) (User, error) {
	if !role.valid() {
		return User{}, errRole(role)
	}
	hashed, err := s.checkedHash(ctx, email, password)
	if err != nil {
		return User{}, err
	}
	var u User
	err = s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		u, err = s.q.InsertUser(ctx, tx, dbsqlc.InsertUserParams{Email: email, PasswordHash: hashed, Role: string(role)})
		if postgres.IsUnique(err, "app_user_email") {
			return errs.Ef(errs.Conflict, "auth.duplicate_email", "There is a user with the address %s already.", email).With(err)
		}
		if err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		return s.audit(ctx, tx, by, "user.created", "user", u.ID)
	})
	return u, err
}

// UpdateUser changes a user's role or password, or disables the account. A new
// password and a disabled account end the user's sessions. Errors: not_found,
// invalid, conflict for what would leave no admin.
func (s *Service) UpdateUser(ctx context.Context, by, id int64, c UserChange) (User, error) {
	if c.Role != nil && !c.Role.valid() {
		return User{}, errRole(*c.Role)
	}
	var hashed string
	if c.Password != nil {
		if err := checkPassword(*c.Password); err != nil {
			return User{}, err
		}
		var err error
		if hashed, err = s.hash.hash(ctx, *c.Password); err != nil {
			return User{}, err
		}
	}
	var u User
	err := s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		u, err = s.updateUser(ctx, tx, id, c, hashed)
		if err != nil {
			return err
		}
		s.revokes(tx)
		return s.audit(ctx, tx, by, "user.updated", "user", id)
	})
	return u, err
}

func (s *Service) updateUser(ctx context.Context, tx *postgres.Tx, id int64, c UserChange, hashed string) (User, error) {
	admins, err := s.q.LockAdmins(ctx, tx)
	if err != nil {
		return User{}, fmt.Errorf("lock admins: %w", err)
	}
	old, err := s.q.GetUser(ctx, tx, id)
	if postgres.NotFound(err) {
		return User{}, noUser(id)
	}
	if err != nil {
		return User{}, fmt.Errorf("load user %d: %w", id, err)
	}
	p := dbsqlc.UpdateUserParams{ID: id, Role: old.Role, DisabledAt: old.DisabledAt, PasswordHash: old.PasswordHash}
	if c.Role != nil {
		p.Role = string(*c.Role)
	}
	if c.Disabled != nil {
		p.DisabledAt = nil
		if *c.Disabled {
			now := s.now()
			p.DisabledAt = &now
		}
	}
	if hashed != "" {
		p.PasswordHash = hashed
	}
	if (p.Role != string(Admin) || p.DisabledAt != nil) && slices.Equal(admins, []int64{id}) {
		return User{}, errs.E(errs.Conflict, "auth.last_admin", "This is the last administrator. Make somebody else one first.")
	}
	if p.DisabledAt != nil || hashed != "" {
		if err := s.q.DeleteSessionsOf(ctx, tx, id); err != nil {
			return User{}, fmt.Errorf("end sessions of user %d: %w", id, err)
		}
	}
	u, err := s.q.UpdateUser(ctx, tx, p)
	if err != nil {
		return u, fmt.Errorf("update user %d: %w", id, err)
	}
	return u, nil
}
