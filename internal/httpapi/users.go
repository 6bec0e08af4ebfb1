package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
)

type accountView struct {
	ID         int64      `json:"id"`
	Email      string     `json:"email"`
	Role       string     `json:"role" enum:"admin,editor,viewer"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	DisabledAt *time.Time `json:"disabled_at"`
}

type accountOutput struct{ Body accountView }

func viewAccount(u auth.User) accountView {
	return accountView{
		ID: u.ID, Email: u.Email, Role: u.Role, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, DisabledAt: u.DisabledAt,
	}
}

// A user takes no Idempotency-Key: what is stored for one is a plain hash of the
// request, and a password is in it. The unique address keeps a repeated request
// from making a second user.
type createUserInput struct {
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"200" doc:"At least 10 characters"`
		Role     string `json:"role" enum:"admin,editor,viewer"`
	}
}

type updateUserInput struct {
	IDInput
	Body struct {
		Role     *string `json:"role,omitempty" enum:"admin,editor,viewer"`
		Disabled *bool   `json:"disabled,omitempty" doc:"true ends the user's sessions and refuses their keys"`
		Password *string `json:"password,omitempty" maxLength:"200" doc:"Ends the user's sessions"`
	}
}

func (s *server) registerUsers() {
	handle(s, route{
		method: http.MethodGet, path: "/users", id: "list-users", tag: "users", permission: auth.Manage, summary: "Users",
	}, func(ctx context.Context, in *PageInput) (*pageOutput[accountView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Auth.ListUsers(ctx, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(u auth.User) int64 { return u.ID }, viewAccount), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/users", id: "create-user", tag: "users", permission: auth.Manage, audit: true,
		summary: "Add a user", status: http.StatusCreated,
	}, func(ctx context.Context, in *createUserInput) (*accountOutput, error) {
		u, err := s.deps.Auth.CreateUser(ctx, user(ctx).UserID, in.Body.Email, in.Body.Password, auth.Role(in.Body.Role))
		if err != nil {
			return nil, err
		}
		return &accountOutput{Body: viewAccount(u)}, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/users/{id}", id: "get-user", tag: "users", permission: auth.Manage, summary: "A user",
	}, func(ctx context.Context, in *IDInput) (*accountOutput, error) {
		u, err := s.deps.Auth.GetUser(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &accountOutput{Body: viewAccount(u)}, nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/users/{id}", id: "update-user", tag: "users", permission: auth.Manage, audit: true,
		summary: "Change a user's role or password, or disable the account",
	}, func(ctx context.Context, in *updateUserInput) (*accountOutput, error) {
		u, err := s.deps.Auth.UpdateUser(ctx, user(ctx).UserID, in.ID, auth.UserChange{
			Role: (*auth.Role)(in.Body.Role), Disabled: in.Body.Disabled, Password: in.Body.Password,
		})
		if err != nil {
			return nil, err
		}
		return &accountOutput{Body: viewAccount(u)}, nil
	})
}
