package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Address is where to serve.
func (g Gunicorn) Address() string {
	if g.Bind != "" {
		return g.Bind
	}
	host, port := g.FlaskHost, g.FlaskPort
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 5055
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Resolve gives the address of the database: the URI, or the five variables. The
// error lists what is missing.
func (d Database) Resolve() (string, error) {
	if uri := d.URI.Reveal(); uri != "" {
		if strings.HasPrefix(uri, "sqlite:") {
			return "", Problems{{
				Variable: "LLMCTL_STUDIO_DATABASE_URI",
				Message:  "names an SQLite file; PostgreSQL is required. Copy the data once with `llmctl db import-sqlite`.",
			}}
		}
		return uri, nil
	}
	var missing []string
	port := ""
	if d.Port != 0 {
		port = strconv.Itoa(d.Port)
	}
	for _, v := range []struct{ name, value string }{
		{"LLMCTL_POSTGRES_HOST", d.Host},
		{"LLMCTL_POSTGRES_PORT", port},
		{"LLMCTL_POSTGRES_DB", d.Name},
		{"LLMCTL_POSTGRES_USER", d.User},
		{"LLMCTL_POSTGRES_PASSWORD", d.Password.Reveal()},
	} {
		if v.value == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		return "", Problems{{
			Variable: "LLMCTL_STUDIO_DATABASE_URI",
			Message: "is empty, and so are " + strings.Join(missing, ", ") +
				". Set the URI, or all five LLMCTL_POSTGRES_* variables, or use `llmctl up`, which brings a database.",
		}}
	}
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(d.User, d.Password.Reveal()), Host: net.JoinHostPort(d.Host, port), Path: "/" + d.Name,
	}
	return u.String(), nil
}
