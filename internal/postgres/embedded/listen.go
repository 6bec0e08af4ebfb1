package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	maxSocketPath = 100 // the kernel's limit is 104 to 108 bytes, by system
	socketPort    = 5432
)

// listenOn decides on socket or port.
func (s *Server) listenOn(context.Context) error {
	if s.opts.Port != 0 {
		s.port = s.opts.Port
		return nil
	}
	s.port = socketPort
	dir := filepath.Join(s.place.root, "run")
	name := ".s.PGSQL." + strconv.Itoa(socketPort)
	var err error
	if len(filepath.Join(dir, name)) > maxSocketPath {
		dir, err = os.MkdirTemp("", socketPrefix)
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = s.place.account.own(dir)
	}
	if err == nil && len(filepath.Join(dir, name)) <= maxSocketPath && s.place.account.reaches(dir, 7) {
		s.socketDir = dir
		return nil
	}
	if strings.HasPrefix(filepath.Base(dir), socketPrefix) {
		_ = os.Remove(dir)
	}
	s.port, err = freePort()
	return err
}

// freePort asks the kernel for a port. Another process may take it before the
// server does; the start then fails and says so.
func freePort() (int, error) {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return address.Port, nil
}

// arguments of the server. They win over what is in postgresql.conf.
func (s *Server) arguments() []string {
	settings := map[string]string{ //nolint:gosec // names of settings, no credentials
		"listen_addresses":        "",
		"unix_socket_directories": s.socketDir,
		"unix_socket_permissions": "0700",
		"port":                    strconv.Itoa(s.port),
		"max_connections":         "100",
		"synchronous_commit":      "on",
		"fsync":                   "on",
		"wal_level":               "replica",
		"max_wal_senders":         "0",
		"password_encryption":     "scram-sha-256",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "",
	}
	if s.socketDir == "" {
		settings["listen_addresses"] = "127.0.0.1"
	}
	args := []string{"-D", s.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	for _, setting := range s.opts.Settings { // the last one counts
		args = append(args, "-c", setting)
	}
	return args
}

func (s *Server) uri(database string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(role, s.password), Path: "/" + database}
	query := url.Values{}
	if s.socketDir == "" {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		query.Set("sslmode", "disable")
	} else {
		query.Set("host", s.socketDir)
		query.Set("port", strconv.Itoa(s.port))
	}
	u.RawQuery = query.Encode()
	return u.String()
}
