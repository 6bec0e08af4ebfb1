package config

import (
	"encoding/base64"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	defaultWorkers = 4 // at most, when nobody says how many
	keyBytes       = 32
	maxKeyFile     = 4 << 10
)

// derive works out the defaults that depend on other variables.
func (l *loading) derive() {
	c := l.cfg
	l.deriveDatabase()
	l.setDerived("GUNICORN_BIND", func() {
		c.Server.Bind = List{net.JoinHostPort(c.Server.FlaskHost, strconv.Itoa(c.Server.FlaskPort))}
	})
	l.setDerived("GUNICORN_CONTROL_SOCKET", func() {
		c.Server.ControlSocket = filepath.Join(c.Studio.DataDir, "gunicorn.ctl")
	})
	if c.Redis.Host != "" {
		l.setDerived("LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE", func() {
			bus := url.URL{
				Scheme: "redis", Path: "/" + strconv.Itoa(c.Redis.DB),
				Host: net.JoinHostPort(c.Redis.Host, strconv.Itoa(c.Redis.Port)),
			}
			c.SocketIO.MessageQueue = Secret(bus.String())
		})
	}
	l.setDerived("GUNICORN_WORKERS", func() {
		c.Server.Workers = 1
		if c.SocketIO.MessageQueue != "" {
			c.Server.Workers = min(max(l.opts.CPUs, 1), defaultWorkers)
		}
	})
	l.setDerived("LLMCTL_STUDIO_MCP_SERVER_ALLOW", func() {
		if l.opts.Role == RoleUp {
			c.Studio.MCPAllow = List{"localhost", "127.0.0.0/8", "::1/128"}
		}
	})
	l.setDerived("LLMCTL_STUDIO_RAG_SOURCE_ALLOW", func() {
		if l.opts.Role == RoleUp {
			c.Studio.RAGAllow = List{"localhost", "127.0.0.0/8", "::1/128"}
		}
	})
	l.setDerived("LLMCTL_STUDIO_SCRIPT_NODES", func() { c.Studio.ScriptNodes = l.opts.Role == RoleUp })
	l.setDerived("LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS", func() {
		c.MCP.RequiredEndpoints = List{"http://llmctl-mcp." + c.MCP.Namespace + ".svc.cluster.local:9020/mcp"}
	})
	l.setDerived("LLMCTL_NODE_EXECUTOR_K8S_API_URL", func() {
		c.Kubernetes.APIURL = "http://llmctl-studio-backend." + c.MCP.Namespace + ".svc.cluster.local:5155/" + strings.Trim(c.Proxy.APIPrefix, "/")
	})
	c.Worker.Hostname = strings.ReplaceAll(c.Worker.Hostname, "%h", l.opts.Hostname)
	c.SocketIO.Path = "/" + strings.Trim(c.SocketIO.Path, "/")
	c.Proxy.APIPrefix = "/" + strings.Trim(c.Proxy.APIPrefix, "/")
	c.Proxy.WebPrefix = "/" + strings.Trim(c.Proxy.WebPrefix, "/")
	l.deriveTelemetry()
	l.readKeyFile()
}

// setDerived runs set when nobody gave the variable a value.
func (l *loading) setDerived(name string, set func()) {
	if l.given(name) {
		return
	}
	l.sources[name] = SourceDerived
	set()
}

// deriveDatabase builds the address from its parts.
func (l *loading) deriveDatabase() {
	db := &l.cfg.Database
	if db.URI != "" || len(l.missingParts()) > 0 {
		return
	}
	uri := url.URL{
		Scheme: "postgresql", User: url.UserPassword(db.User, db.Password.Reveal()),
		Host: net.JoinHostPort(db.Host, strconv.Itoa(db.Port)), Path: "/" + db.Name,
	}
	l.setDerived("LLMCTL_STUDIO_DATABASE_URI", func() { db.URI = Secret(uri.String()) })
}

// postgresParts are needed together when there is no address.
func postgresParts() []string {
	return []string{
		"LLMCTL_POSTGRES_HOST", "LLMCTL_POSTGRES_PORT", "LLMCTL_POSTGRES_DB",
		"LLMCTL_POSTGRES_USER", "LLMCTL_POSTGRES_PASSWORD",
	}
}

func (l *loading) missingParts() []string {
	var missing []string
	for _, name := range postgresParts() {
		if l.values[name] == "" {
			missing = append(missing, name)
		}
	}
	return missing
}

// readKeyFile takes the key from LLMCTL_STUDIO_SECRET_KEY_FILE.
func (l *loading) readKeyFile() {
	const name = "LLMCTL_STUDIO_SECRET_KEY_FILE"
	s := &l.cfg.Studio
	if s.SecretKeyFile == "" {
		return
	}
	if s.SecretKey != "" {
		l.problem(name, "only one of LLMCTL_STUDIO_SECRET_KEY and LLMCTL_STUDIO_SECRET_KEY_FILE")
		return
	}
	info, err := os.Stat(s.SecretKeyFile)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		l.problem(name, "a small file that can be read")
		return
	}
	text, err := os.ReadFile(s.SecretKeyFile)
	if err != nil {
		l.problem(name, "a small file that can be read")
		return
	}
	key := strings.TrimSpace(string(text))
	if !validKey(key) {
		l.problem(name, "a file that holds base64 of 32 bytes")
		return
	}
	l.setDerived("LLMCTL_STUDIO_SECRET_KEY", func() { s.SecretKey = Secret(key) })
}

// validKey accepts base64 of 32 bytes in either alphabet, padded or not.
func validKey(text string) bool {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	raw, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil && len(raw) == keyBytes
}
