package config

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/redisconn"
)

// Roles whose needs Load knows. Any other command has none of its own.
const (
	RoleUp     = "up"
	RoleServe  = "serve"
	RoleWorker = "worker"
	RoleBeat   = "beat"
	RoleDB     = "db"

	RoleFrontend = "frontend"
	RoleMCP      = "mcp"
)

// rules checks what one variable by itself cannot show.
func (l *loading) rules() {
	l.ruleDatabase()
	l.ruleServer()
	l.rulePaths()
	l.warnHops()
	l.ruleFrontend()
	l.ruleBus()
	l.ruleSecrets()
	l.ruleNodes()
	l.ruleMCP()
	l.ruleTest()
	l.ruleTelemetry()
	l.ruleChecks()
}

// ruleChecks asks those who know a value's grammar.
func (l *loading) ruleChecks() {
	for name, check := range l.opts.Checks {
		value, given := l.values[name]
		if want := check(value); given && want != "" {
			l.problem(name, want)
		}
	}
}

func (l *loading) ruleDatabase() {
	const name = "LLMCTL_STUDIO_DATABASE_URI"
	scheme, _, found := strings.Cut(l.cfg.Database.URI.Reveal(), ":")
	base, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch {
	case l.cfg.Database.URI == "":
		l.ruleDatabaseParts()
	case base == "sqlite":
		l.problem(name, "a PostgreSQL address. SQLite is not supported; llmctl db import-sqlite copies a SQLite file into PostgreSQL once")
	case !found || (base != "postgresql" && base != "postgres"):
		l.problem(name, "postgresql://user:password@host:port/name, or postgres://, or a SQLAlchemy form such as postgresql+psycopg://")
	}
}

func (l *loading) ruleDatabaseParts() {
	missing := l.missingParts()
	needed := slices.Contains([]string{RoleServe, RoleWorker, RoleBeat, RoleDB, RoleMCP}, l.opts.Role)
	switch {
	case len(missing) == len(postgresParts()) && !needed:
	case len(missing) == len(postgresParts()):
		l.problem("LLMCTL_STUDIO_DATABASE_URI", "the address of a PostgreSQL database, or all of "+strings.Join(missing, ", "))
	default:
		for _, name := range missing {
			if !l.complained(name) {
				l.problem(name, "a value, because LLMCTL_STUDIO_DATABASE_URI is empty and other LLMCTL_POSTGRES_ variables are set (missing: "+strings.Join(missing, ", ")+")")
			}
		}
	}
}

func (l *loading) ruleServer() {
	s := l.cfg.Server
	for _, address := range s.Bind {
		if !validBind(address) {
			l.problem("GUNICORN_BIND", "host:port or unix:/path, comma separated")
			break
		}
	}
	if s.InternalBind != "off" && !validBind(s.InternalBind) {
		l.problem("LLMCTL_STUDIO_INTERNAL_BIND", "host:port, unix:/path or off")
	}
	if a := s.InternalAdvertise; a != "" && a != "off" && !validPeer(a) {
		l.problem("LLMCTL_STUDIO_INTERNAL_ADVERTISE", "host:port, with a port above 0, or off")
	}
	if s.Certfile != "" && s.Keyfile == "" {
		l.problem("GUNICORN_KEYFILE", "the key of GUNICORN_CERTFILE")
	}
	if s.Keyfile != "" && s.Certfile == "" {
		l.problem("GUNICORN_CERTFILE", "the certificate of GUNICORN_KEYFILE")
	}
	if s.CACerts != "" && s.Certfile == "" {
		l.problem("GUNICORN_CERTFILE", "a certificate, because GUNICORN_CA_CERTS asks for client certificates")
	}
}

// validPeer accepts what others can connect to.
func validPeer(address string) bool {
	host, port, err := net.SplitHostPort(address)
	n, faulty := strconv.ParseUint(port, 10, 16)
	return err == nil && faulty == nil && host != "" && n > 0
}

// validBind accepts host:port, [v6]:port, :port and unix:/path.
func validBind(address string) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return path != ""
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

var (
	pathPattern     = regexp.MustCompile(`^(/|(/[A-Za-z0-9._~-]+)+)$`)
	channelPattern  = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)
	identityPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
)

func (l *loading) rulePaths() {
	for name, path := range map[string]string{
		"LLMCTL_STUDIO_API_PREFIX": l.cfg.Proxy.APIPrefix, "LLMCTL_STUDIO_WEB_PREFIX": l.cfg.Proxy.WebPrefix,
		"LLMCTL_STUDIO_SOCKETIO_PATH": l.cfg.SocketIO.Path, "LLMCTL_MCP_PATH": l.cfg.MCP.Path,
	} {
		if !pathPattern.MatchString(path) {
			l.problem(name, "a path such as /studio, of letters, digits and . _ ~ -")
		}
	}
	p := l.cfg.Proxy
	if p.APIPrefix == p.WebPrefix {
		l.problem("LLMCTL_STUDIO_WEB_PREFIX", "another path than LLMCTL_STUDIO_API_PREFIX")
	}
	// Neither may take everything: what nobody knows is answered with a 404.
	if p.APIPrefix == "/" {
		l.problem("LLMCTL_STUDIO_API_PREFIX", "a path below the root, such as /api")
	}
	if p.WebPrefix == "/" {
		l.problem("LLMCTL_STUDIO_WEB_PREFIX", "a path below the root, such as /web")
	}
}

// warnHops warns of trusted hops that nothing counts.
func (l *loading) warnHops() {
	if l.cfg.Proxy.Enabled {
		return
	}
	for _, header := range []string{"FOR", "PROTO", "HOST", "PORT", "PREFIX"} {
		name := "LLMCTL_STUDIO_PROXY_FIX_X_" + header
		if l.given(name) && l.values[name] != "0" {
			l.warnings = append(l.warnings, Warning{Variable: name, Message: "has no effect: LLMCTL_STUDIO_PROXY_FIX_ENABLED is false"})
		}
	}
}

func (l *loading) ruleFrontend() {
	f := l.cfg.Frontend
	for _, address := range f.Bind {
		if !validBind(address) {
			l.problem("LLMCTL_STUDIO_FRONTEND_BIND", "host:port or unix:/path, comma separated")
			break
		}
	}
	l.ruleHTTP("LLMCTL_STUDIO_BACKEND_URL", f.BackendURL)
	if f.Certfile != "" && f.Keyfile == "" {
		l.problem("LLMCTL_STUDIO_BACKEND_KEYFILE", "the key of LLMCTL_STUDIO_BACKEND_CERTFILE")
	}
	if f.Keyfile != "" && f.Certfile == "" {
		l.problem("LLMCTL_STUDIO_BACKEND_CERTFILE", "the certificate of LLMCTL_STUDIO_BACKEND_KEYFILE")
	}
}

func (l *loading) ruleBus() {
	l.ruleRedis()
	for _, origin := range l.cfg.SocketIO.CORSOrigins {
		uri, err := url.Parse(origin)
		if origin != "*" && (err != nil || uri.Scheme == "" || uri.Host == "" || strings.Trim(uri.Path, "/") != "") {
			l.problem("LLMCTL_STUDIO_SOCKETIO_CORS_ALLOWED_ORIGINS", "origins such as https://studio.example.com, comma separated, or *")
			break
		}
	}
}

func (l *loading) ruleRedis() {
	io := l.cfg.SocketIO
	if queue := io.MessageQueue.Reveal(); queue != "" {
		if _, err := redisconn.Parse(queue); err != nil {
			l.problem("LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE", "redis://, rediss://, redis-sentinel:// or redis-cluster:// with a host: "+err.Error())
		}
	} else if len(io.Adapter) > 0 {
		l.problem("LLMCTL_STUDIO_SOCKETIO_ADAPTER", "nothing, or a Redis in LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE: the others are reached through it")
	}
	for name, key := range map[string]string{
		"LLMCTL_STUDIO_SOCKETIO_ADAPTER_KEY": io.AdapterKey, "LLMCTL_STUDIO_SOCKETIO_PYTHON_CHANNEL": io.PythonChannel,
	} {
		if !channelPattern.MatchString(key) {
			l.problem(name, "1 to 128 letters, digits and . _ : -")
		}
	}
}

func (l *loading) ruleSecrets() {
	s := l.cfg.Studio
	needed := l.opts.Role == RoleServe || l.opts.Role == RoleWorker
	switch {
	case s.SecretKey == "" && needed && !l.complained("LLMCTL_STUDIO_SECRET_KEY_FILE"):
		l.problem("LLMCTL_STUDIO_SECRET_KEY", "base64 of 32 bytes, or LLMCTL_STUDIO_SECRET_KEY_FILE. Make one with: openssl rand -base64 32")
	case s.SecretKey != "" && !validKey(s.SecretKey.Reveal()):
		l.problem("LLMCTL_STUDIO_SECRET_KEY", "base64 of 32 bytes. Make one with: openssl rand -base64 32")
	}
	if s.AdminEmail != "" {
		if address, err := mail.ParseAddress(s.AdminEmail); err != nil || address.Address != s.AdminEmail {
			l.problem("LLMCTL_STUDIO_ADMIN_EMAIL", "an e-mail address")
		}
	}
	if s.AdminEmail != "" && s.AdminPassword == "" {
		l.problem("LLMCTL_STUDIO_ADMIN_PASSWORD", "a password for LLMCTL_STUDIO_ADMIN_EMAIL")
	}
	if s.AdminEmail == "" && s.AdminPassword != "" {
		l.problem("LLMCTL_STUDIO_ADMIN_EMAIL", "an address for LLMCTL_STUDIO_ADMIN_PASSWORD")
	}
}

func (l *loading) ruleNodes() {
	if !identityPattern.MatchString(l.cfg.Executor.WorkspaceIdentity) {
		l.problem("LLMCTL_NODE_EXECUTOR_WORKSPACE_IDENTITY_KEY", "a letter or digit, then at most 127 of letters, digits and _ . -")
	}
	l.ruleKubernetes()
	l.ruleNetworks("LLMCTL_STUDIO_HTTP_NODE_ALLOW", l.cfg.Studio.HTTPNodeAllow)
	l.ruleNetworks("LLMCTL_STUDIO_MCP_SERVER_ALLOW", l.cfg.Studio.MCPAllow)
	l.ruleNetworks("LLMCTL_STUDIO_RAG_SOURCE_ALLOW", l.cfg.Studio.RAGAllow)
	for name, address := range map[string]string{"HF_ENDPOINT": l.cfg.Hub.Endpoint} {
		l.ruleHTTP(name, address)
	}
	for _, address := range l.cfg.MCP.RequiredEndpoints {
		l.ruleHTTP("LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS", address)
	}
}

func (l *loading) ruleNetworks(name string, items List) {
	for _, item := range items {
		if strings.Contains(item, "/") {
			if _, err := netip.ParsePrefix(item); err != nil {
				l.problem(name, "host names, addresses and networks such as 10.0.0.0/8, comma separated")
				return
			}
		}
	}
}

func (l *loading) ruleMCP() {
	m := l.cfg.MCP
	if m.MaxLimit < m.DefaultLimit {
		l.problem("LLMCTL_MCP_MAX_LIMIT", "at least LLMCTL_MCP_DEFAULT_LIMIT, which is "+strconv.Itoa(m.DefaultLimit))
	}
	if m.PublicBaseURL != "" {
		l.ruleHTTP("LLMCTL_MCP_PUBLIC_BASE_URL", m.PublicBaseURL)
	}
}

// namePattern keeps names of databases and roles readable in addresses.
var namePattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func (l *loading) ruleTest() {
	for name, value := range map[string]string{
		"LLMCTL_TEST_POSTGRES_DB": l.cfg.Test.Name, "LLMCTL_TEST_POSTGRES_USER": l.cfg.Test.User,
	} {
		if !namePattern.MatchString(value) {
			l.problem(name, "a small letter or _, then at most 62 of a-z, 0-9 and _")
		}
	}
}

func (l *loading) ruleHTTP(name, address string) {
	uri, err := url.Parse(address)
	if (err != nil || uri.Host == "" || (uri.Scheme != "http" && uri.Scheme != "https")) && !l.complained(name) {
		l.problem(name, "addresses that begin with http:// or https://")
	}
}
