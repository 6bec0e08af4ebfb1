package redisconn

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is a form of deployment.
type Kind string

// The forms of deployment, as the address begins with them.
const (
	Single   Kind = "redis"
	TLS      Kind = "rediss"
	Sentinel Kind = "redis-sentinel"
	Cluster  Kind = "redis-cluster"
)

// Address is a checked address.
type Address struct {
	Kind     Kind
	Hosts    []string // host:port; of the sentinels or of some nodes, where there are several
	Username string
	Password string
	Master   string // the group that the sentinels watch
	DB       int
	// Prefix begins the names of channels, so that installations can share a
	// deployment; see Channel.
	Prefix string

	clientName                         string
	sentinelUsername, sentinelPassword string
	secure                             secure
}

const (
	redisPort     = "6379"
	sentinelPort  = "26379"
	maxHosts      = 32
	maxDB         = 65535
	defaultPrefix = "llmctl"
)

// Parse checks an address.
func Parse(address string) (*Address, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, errors.New("it must begin with redis://, rediss://, redis-sentinel:// or redis-cluster://")
	}
	a := &Address{Kind: Kind(scheme), Prefix: defaultPrefix}
	if !slices.Contains([]Kind{Single, TLS, Sentinel, Cluster}, a.Kind) {
		return nil, fmt.Errorf("scheme %q is none of redis, rediss, redis-sentinel, redis-cluster", scheme)
	}
	if strings.Contains(rest, "#") {
		return nil, errors.New("it has a # in it; write %23 in a password")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		if err := a.parseUser(authority[:i]); err != nil {
			return nil, err
		}
		authority = authority[i+1:]
	}
	if err := a.parseHosts(authority); err != nil {
		return nil, err
	}
	if err := a.parsePath(path); err != nil {
		return nil, err
	}
	return a, a.parseOptions(query)
}

func (a *Address) parseUser(text string) error {
	user, password, _ := strings.Cut(text, ":")
	var err error
	if a.Username, err = url.PathUnescape(user); err != nil {
		return errors.New("the user name has a % that begins no escape")
	}
	if a.Password, err = url.PathUnescape(password); err != nil {
		return errors.New("the password has a % that begins no escape; write %25 for a %")
	}
	return nil
}

func (a *Address) parseHosts(text string) error {
	hosts := strings.Split(text, ",")
	several := a.Kind == Sentinel || a.Kind == Cluster
	switch {
	case len(hosts) > maxHosts:
		return fmt.Errorf("it names %d hosts; at most %d are accepted", len(hosts), maxHosts)
	case len(hosts) > 1 && !several:
		return fmt.Errorf("%s:// names %d hosts; it takes one. redis-sentinel:// and redis-cluster:// take several", a.Kind, len(hosts))
	}
	port := redisPort
	if a.Kind == Sentinel {
		port = sentinelPort
	}
	for _, h := range hosts {
		host, err := withPort(h, port)
		if err != nil {
			return err
		}
		a.Hosts = append(a.Hosts, host)
	}
	return nil
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_.:%-]+$`)

func withPort(text, fallback string) (string, error) {
	host, port := text, fallback
	if bare, found := strings.CutPrefix(text, "["); found && strings.HasSuffix(bare, "]") {
		host = strings.TrimSuffix(bare, "]") // an IPv6 address without a port
	} else if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", fmt.Errorf("host %q is not host, host:port or [address]:port", text)
		}
	}
	if !hostPattern.MatchString(host) {
		return "", fmt.Errorf("host %q is not a host name or address", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("port %q of host %q is not a number from 1 to 65535", port, host)
	}
	return net.JoinHostPort(host, port), nil
}

func (a *Address) parsePath(path string) error {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if a.Kind == Sentinel && len(parts) > 0 {
		master, err := url.PathUnescape(parts[0])
		if err != nil {
			return errors.New("the name of the master has a % that begins no escape")
		}
		a.Master, parts = master, parts[1:]
	}
	switch {
	case len(parts) == 0:
		return nil
	case len(parts) > 1:
		return fmt.Errorf("path %q has too many parts; %s", path, a.pathForm())
	}
	return a.setDB(parts[0])
}

func (a *Address) pathForm() string {
	if a.Kind == Sentinel {
		return "it is /master or /master/database"
	}
	return "it is /database or nothing"
}

func (a *Address) setDB(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxDB {
		return fmt.Errorf("database %q is not a number from 0 to %d; %s", text, maxDB, a.pathForm())
	}
	if n != 0 && a.Kind == Cluster {
		return fmt.Errorf("database %d: a Redis Cluster has only 0; use ?channel_prefix= to keep installations apart", n)
	}
	a.DB = n
	return nil
}

// Channel gives the name of a channel. Channels of Redis belong to no database,
// so the number is part of the name.
func (a *Address) Channel(name string) string {
	return a.Prefix + ":" + strconv.Itoa(a.DB) + ":" + name
}

// String tells where the address leads, without secrets and options.
func (a *Address) String() string {
	s := string(a.Kind) + "://" + strings.Join(a.Hosts, ",")
	if a.Kind == Sentinel {
		s += "/" + a.Master
	}
	if a.Kind != Cluster {
		s += "/" + strconv.Itoa(a.DB)
	}
	return s
}
