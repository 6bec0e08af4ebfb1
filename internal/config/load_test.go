package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	testKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	testURI = "LLMCTL_STUDIO_DATABASE_URI=postgresql://u:hunter2@db:5432/studio"
)

// problems loads environ and gives what is wrong, by variable.
func problems(t *testing.T, role string, environ ...string) map[string]Problem {
	t.Helper()
	_, _, err := Load(LoadOptions{Role: role, Environ: environ})
	found := map[string]Problem{}
	if err == nil {
		return found
	}
	all, ok := errors.AsType[*Error](err)
	require.True(t, ok, "not a configuration error: %v", err)
	for _, p := range all.Problems {
		found[p.Variable] = p
	}
	return found
}

func load(t *testing.T, opts LoadOptions) *Config {
	t.Helper()
	c, _, err := Load(opts)
	require.NoError(t, err)
	return c
}

func TestDefaultsAreTheContract(t *testing.T) {
	t.Parallel()
	c := load(t, LoadOptions{Role: RoleUp, CPUs: 8, Hostname: "box"})
	require.Equal(t, List{"127.0.0.1:5055"}, c.Server.Bind)
	require.Equal(t, 1, c.Server.Workers)
	require.Equal(t, 120*time.Second, c.Server.Timeout)
	require.Equal(t, os.FileMode(0o600), c.Server.ControlSocketMode)
	require.Equal(t, filepath.Join("data", "gunicorn.ctl"), c.Server.ControlSocket)
	require.Equal(t, 0, c.Proxy.Prefix)
	require.Equal(t, 1, c.Proxy.For)
	require.Equal(t, "/socket.io", c.SocketIO.Path)
	require.Equal(t, List{"websocket", "polling"}, c.SocketIO.Transports)
	require.Empty(t, c.SocketIO.MessageQueue.Reveal())
	require.Len(t, c.Worker.Queues, 5)
	require.Equal(t, "box", c.Worker.Hostname)
	require.True(t, c.Studio.ScriptNodes, "script nodes are on under up")
	require.Equal(t, "process", c.Executor.Provider)
}

func TestScriptNodesAreOffOutsideUp(t *testing.T) {
	t.Parallel()
	c := load(t, LoadOptions{Role: RoleServe, Environ: []string{testURI, "LLMCTL_STUDIO_SECRET_KEY=" + testKey}})
	require.False(t, c.Studio.ScriptNodes)
}

func TestRedisDecidesBusAndWorkers(t *testing.T) {
	t.Parallel()
	c := load(t, LoadOptions{Role: RoleUp, CPUs: 16, Environ: []string{
		"CELERY_REDIS_HOST=cache", "CELERY_REDIS_PORT=6380", "LLMCTL_STUDIO_SOCKETIO_REDIS_DB=3",
	}})
	require.Equal(t, "redis://cache:6380/3", c.SocketIO.MessageQueue.Reveal())
	require.Equal(t, 4, c.Server.Workers)
}

func TestRedisAddressesOfEveryFormAreAccepted(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"redis://:p%40ss@cache:6380/3", "rediss://cache?skip_verify=true",
		"redis-sentinel://a:26379,b:26379/mymaster/1", "redis-cluster://a:7000,b:7001,c:7002?tls=true",
	} {
		c := load(t, LoadOptions{Role: RoleUp, Environ: []string{
			"LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=" + address, "LLMCTL_STUDIO_SOCKETIO_ADAPTER=classic,python",
		}})
		require.Equal(t, address, c.SocketIO.MessageQueue.Reveal())
	}
}

func TestRedisFaultsAreNamedWithoutThePassword(t *testing.T) {
	t.Parallel()
	found := problems(t, RoleUp, "LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=redis-sentinel://:s3cret@a,b")
	problem := found["LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE"]
	require.Contains(t, problem.Want, "the name of the master is missing")
	require.NotContains(t, problem.Given+problem.Want, "s3cret")
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_SOCKETIO_ADAPTER=classic")["LLMCTL_STUDIO_SOCKETIO_ADAPTER"].Want, "MESSAGE_QUEUE")
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_SOCKETIO_ADAPTER=sharded")["LLMCTL_STUDIO_SOCKETIO_ADAPTER"].Want, "classic")
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_SOCKETIO_ADAPTER_KEY=a*")["LLMCTL_STUDIO_SOCKETIO_ADAPTER_KEY"].Want, "letters")
}

func TestBooleansAreStrict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"1": true, "TRUE": true, "Yes": true, "on": true, "0": false, "false": false, "NO": false, "off": false} {
		c := load(t, LoadOptions{Role: RoleUp, Environ: []string{"LLMCTL_STUDIO_PROXY_FIX_ENABLED=" + text}})
		require.Equal(t, want, c.Proxy.Enabled, text)
	}
	for _, text := range []string{"t", "enabled", "2", "true "} {
		found := problems(t, RoleUp, "LLMCTL_STUDIO_PROXY_FIX_ENABLED="+text)
		require.Equal(t, text, found["LLMCTL_STUDIO_PROXY_FIX_ENABLED"].Given)
	}
}

func TestAllProblemsComeTogether(t *testing.T) {
	t.Parallel()
	found := problems(t, RoleServe, "GUNICORN_WORKERS=many", "GUNICORN_TIMEOUT=0", "GUNICORN_WORKER_CLASS=uvicorn",
		"LLMCTL_NODE_EXECUTOR_PROVIDER=docker", "GUNICORN_CONTROL_SOCKET_MODE=999", "GUNICORN_CERTFILE=/c.pem")
	require.Len(t, found, 8)
	require.Equal(t, Problem{Variable: "GUNICORN_WORKERS", Given: "many", Want: "a whole number from 1 to 1024"}, found["GUNICORN_WORKERS"])
	require.Equal(t, "a number of seconds, at least 1", found["GUNICORN_TIMEOUT"].Want)
	require.Contains(t, found["GUNICORN_WORKER_CLASS"].Want, "gthread")
	require.Equal(t, "one of inline, process, kubernetes", found["LLMCTL_NODE_EXECUTOR_PROVIDER"].Want)
	require.Contains(t, found, "GUNICORN_CONTROL_SOCKET_MODE")
	require.Contains(t, found, "GUNICORN_KEYFILE")
	require.Contains(t, found, "LLMCTL_STUDIO_DATABASE_URI")
	require.Contains(t, found, "LLMCTL_STUDIO_SECRET_KEY")
}

func TestValuesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"LLMCTL_STUDIO_INTERNAL_ADVERTISE=10.0.0.1", "LLMCTL_STUDIO_INTERNAL_ADVERTISE=:9091", "LLMCTL_STUDIO_INTERNAL_ADVERTISE=a:0",
		"GUNICORN_BIND=5055", "GUNICORN_BIND=unix:", "GUNICORN_BIND=a:99999", "LLMCTL_STUDIO_INTERNAL_BIND=none",
		"LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=amqp://x", "LLMCTL_STUDIO_SOCKETIO_TRANSPORTS=carrier", "LLMCTL_STUDIO_SOCKETIO_TRANSPORTS=,",
		"LLMCTL_STUDIO_SOCKETIO_CORS_ALLOWED_ORIGINS=example.com", "CELERY_WORKER_QUEUES=other", "LLMCTL_STUDIO_SECRET_KEY=short",
		"LLMCTL_STUDIO_API_PREFIX=/a b", "LLMCTL_STUDIO_WEB_PREFIX=/api", "LLMCTL_NODE_EXECUTOR_WORKSPACE_IDENTITY_KEY=../x",
		"LLMCTL_STUDIO_HTTP_NODE_ALLOW=10.0.0.0/99", "HF_ENDPOINT=hub", "LLMCTL_STUDIO_SECRET_KEY_FILE=/nowhere",
		"GUNICORN_KEEPALIVE=NaN", "GUNICORN_KEEPALIVE=1e300", "LLMCTL_STUDIO_DATABASE_URI=mysql://x/y", "GUNICORN_CA_CERTS=/x",
	} {
		name, _, _ := strings.Cut(pair, "=")
		if name == "GUNICORN_CA_CERTS" {
			name = "GUNICORN_CERTFILE"
		}
		require.Contains(t, problems(t, RoleUp, pair), name, pair)
	}
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_ADMIN_EMAIL=a@b.c"), "LLMCTL_STUDIO_ADMIN_PASSWORD")
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_ADMIN_PASSWORD=x"), "LLMCTL_STUDIO_ADMIN_EMAIL")
}

func TestDatabaseParts(t *testing.T) {
	t.Parallel()
	all := []string{
		"LLMCTL_POSTGRES_HOST=db", "LLMCTL_POSTGRES_PORT=5433", "LLMCTL_POSTGRES_DB=studio",
		"LLMCTL_POSTGRES_USER=an@ne", "LLMCTL_POSTGRES_PASSWORD=p/w:ü",
	}
	c := load(t, LoadOptions{Role: RoleBeat, Environ: all})
	require.Equal(t, "postgresql://an%40ne:p%2Fw%3A%C3%BC@db:5433/studio", c.Database.URI.Reveal())

	found := problems(t, RoleBeat, all[0], all[2], all[4])
	require.Len(t, found, 2)
	require.Contains(t, found["LLMCTL_POSTGRES_PORT"].Want, "missing: LLMCTL_POSTGRES_PORT, LLMCTL_POSTGRES_USER")
	require.Contains(t, found, "LLMCTL_POSTGRES_USER")

	require.Empty(t, problems(t, RoleUp), "up needs no database")
	require.Contains(t, problems(t, RoleBeat)["LLMCTL_STUDIO_DATABASE_URI"].Want, "LLMCTL_POSTGRES_HOST")
}

func TestSQLiteIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"sqlite:////tmp/studio.db", "sqlite+pysqlite:///x", "SQLITE:///x"} {
		p := problems(t, RoleUp, "LLMCTL_STUDIO_DATABASE_URI="+uri)["LLMCTL_STUDIO_DATABASE_URI"]
		require.Contains(t, p.Want, "llmctl db import-sqlite")
	}
}

func TestSourcesInOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("GUNICORN_THREADS=1\nGUNICORN_WORKERS=2\nGUNICORN_MAX_REQUESTS=3\n# note\nHF_TOKEN='a$b#c'\n"), 0o600))
	c := load(t, LoadOptions{
		Role: RoleUp, EnvFile: file, Environ: []string{"GUNICORN_WORKERS=5", "GUNICORN_MAX_REQUESTS=6", "GUNICORN_TIMEOUT="},
		Overrides: map[string]string{"GUNICORN_MAX_REQUESTS": "9"},
	})
	require.Equal(t, []int{1, 5, 9}, []int{c.Server.Threads, c.Server.Workers, c.Server.MaxRequests})
	require.Equal(t, "a$b#c", c.Hub.Token.Reveal())
	sources := map[string]Source{}
	for _, e := range c.Entries() {
		sources[e.Variable] = e.Source
	}
	require.Equal(t, SourceEnvFile, sources["GUNICORN_THREADS"])
	require.Equal(t, SourceEnvironment, sources["GUNICORN_WORKERS"])
	require.Equal(t, SourceFlag, sources["GUNICORN_MAX_REQUESTS"])
	require.Equal(t, SourceDefault, sources["GUNICORN_TIMEOUT"], "an empty value counts as unset")
	require.Equal(t, SourceDerived, sources["GUNICORN_BIND"])
}

func TestEnvFileProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(bad, []byte("PASSWORD hunter2 {\n"), 0o600))
	for _, path := range []string{filepath.Join(dir, "none"), dir, bad} {
		_, _, err := Load(LoadOptions{Role: RoleUp, EnvFile: path})
		require.ErrorContains(t, err, "--env-file")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestUnknownVariablesAreNamedWithTheNearest(t *testing.T) {
	t.Parallel()
	_, warnings, err := Load(LoadOptions{Role: RoleUp, Environ: []string{
		"GUNICORN_WORKER=3", "LLMCTL_STUDIO_DATADIR=/x", "LLMCTL_ZZZ=1", "LLMCTL_STUDIO_SOCKETIO_ASYNC_MODE=threading", "HOME=/root", "LLMCTL_TEST_DATABASE_URI=x",
	}})
	require.NoError(t, err)
	texts := map[string]string{}
	for _, w := range warnings {
		texts[w.Variable] = w.Message
	}
	require.Len(t, texts, 4)
	require.Contains(t, texts["GUNICORN_WORKER"], "GUNICORN_WORKERS?")
	require.Contains(t, texts["LLMCTL_STUDIO_DATADIR"], "LLMCTL_STUDIO_DATA_DIR?")
	require.Equal(t, "is not known", texts["LLMCTL_ZZZ"])
	require.Contains(t, texts["LLMCTL_STUDIO_SOCKETIO_ASYNC_MODE"], "no effect")
}

func TestKubernetesServiceLinksDoNotBreakTheStart(t *testing.T) {
	t.Parallel()
	links := []string{
		"LLMCTL_MCP_PORT=tcp://10.0.0.7:9020", "LLMCTL_MCP_SERVICE_HOST=10.0.0.7", "LLMCTL_MCP_SERVICE_PORT=9020", "LLMCTL_MCP_SERVICE_PORT_HTTP=9020",
		"LLMCTL_MCP_PORT_9020_TCP=tcp://10.0.0.7:9020", "LLMCTL_MCP_PORT_9020_TCP_ADDR=10.0.0.7",
		"LLMCTL_STUDIO_BACKEND_PORT=tcp://10.0.0.8:5155", "LLMCTL_STUDIO_BACKEND_SERVICE_HOST=10.0.0.8",
	}
	c, warnings, err := Load(LoadOptions{Role: RoleUp, Environ: links})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, 9020, c.MCP.Port)
	require.Contains(t, problems(t, RoleUp, links[0]), "LLMCTL_MCP_PORT", "without the service it is a mistake")
}

func TestSecretKeyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(testKey+"\n"), 0o600))
	c := load(t, LoadOptions{Role: RoleServe, Environ: []string{testURI, "LLMCTL_STUDIO_SECRET_KEY_FILE=" + file}})
	require.Equal(t, testKey, c.Studio.SecretKey.Reveal())
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_SECRET_KEY="+testKey, "LLMCTL_STUDIO_SECRET_KEY_FILE="+file), "LLMCTL_STUDIO_SECRET_KEY_FILE")
	require.NoError(t, os.WriteFile(file, []byte("nope"), 0o600))
	require.Contains(t, problems(t, RoleUp, "LLMCTL_STUDIO_SECRET_KEY_FILE="+file)["LLMCTL_STUDIO_SECRET_KEY_FILE"].Want, "32 bytes")
}

func TestSecretsHaveNoWayOut(t *testing.T) {
	t.Parallel()
	c := load(t, LoadOptions{Role: RoleUp, Environ: []string{testURI, "HF_TOKEN=hunter2", "LLMCTL_STUDIO_SECRET_KEY=" + testKey}})
	var out bytes.Buffer
	require.NoError(t, c.Print(&out))
	require.NoError(t, c.PrintJSON(&out))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, format, c.Hub.Token)
	}
	fmt.Fprintf(&out, "%+v %#v", *c, *c)
	require.NoError(t, json.NewEncoder(&out).Encode(c))
	slog.New(slog.NewTextHandler(&out, nil)).InfoContext(t.Context(), "x", "token", c.Hub.Token, "config", c)
	_, _, err := Load(LoadOptions{Role: RoleUp, Environ: []string{"LLMCTL_STUDIO_DATABASE_URI=hunter2://x", "LLMCTL_STUDIO_SECRET_KEY=hunter2"}})
	fmt.Fprint(&out, err)
	require.NotContains(t, out.String(), "hunter2")
	require.NotContains(t, out.String(), testKey)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", "hunter2"))
	require.Contains(t, out.String(), redacted)
}

func TestPrintShowsValueAndSource(t *testing.T) {
	t.Parallel()
	c := load(t, LoadOptions{Role: RoleUp, Environ: []string{"GUNICORN_KEEPALIVE=1m30s", "GUNICORN_CONTROL_SOCKET_MODE=0660"}})
	var out bytes.Buffer
	require.NoError(t, c.Print(&out))
	require.Regexp(t, `GUNICORN_KEEPALIVE\s+90\s+environment`, out.String())
	require.Regexp(t, `GUNICORN_CONTROL_SOCKET_MODE\s+0660\s+environment`, out.String())
	out.Reset()
	require.NoError(t, c.PrintJSON(&out))
	var entries []Entry
	require.NoError(t, json.Unmarshal(out.Bytes(), &entries))
	require.Equal(t, c.Entries(), entries)
}

func TestReferenceIsGenerated(t *testing.T) {
	t.Parallel()
	const golden = "../../docs/reference/configuration.md"
	var out bytes.Buffer
	require.NoError(t, WriteDoc(&out))
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "run make generate")
}

func TestEveryDefaultIsAcceptedByItsOwnRules(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range fields() {
		require.False(t, seen[f.name], "%s is declared twice", f.name)
		seen[f.name] = true
		if f.def != "" {
			_, want := f.normalise(f.def)
			require.Empty(t, want, "%s does not accept its default", f.name)
		}
	}
}

func TestNearestDoesNotMislead(t *testing.T) {
	t.Parallel()
	known := []string{"GUNICORN_WORKERS", "GUNICORN_TIMEOUT"}
	require.Equal(t, "GUNICORN_TIMEOUT", nearest("GUNICORN_TIME_OUT", known))
	require.Empty(t, nearest("ENTIRELY_DIFFERENT", known))
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 4, distance("", "four"))
}

func FuzzLoadNeverPanics(f *testing.F) {
	f.Add("GUNICORN_BIND", "[::1]:80")
	f.Add("LLMCTL_STUDIO_DATABASE_URI", "postgresql://%zz")
	f.Fuzz(func(_ *testing.T, name, value string) {
		_, _, _ = Load(LoadOptions{Role: RoleUp, Environ: []string{name + "=" + value}})
	})
}

func TestHopsWithoutTrustAreWarnedOf(t *testing.T) {
	t.Parallel()
	prefix := "LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"
	_, warnings, err := Load(LoadOptions{Role: RoleUp, Environ: []string{prefix, "LLMCTL_STUDIO_PROXY_FIX_X_FOR=0"}})
	require.NoError(t, err)
	require.Equal(t, []Warning{{Variable: "LLMCTL_STUDIO_PROXY_FIX_X_PREFIX", Message: "has no effect: LLMCTL_STUDIO_PROXY_FIX_ENABLED is false"}}, warnings)
	_, warnings, err = Load(LoadOptions{Role: RoleUp, Environ: []string{prefix, "LLMCTL_STUDIO_PROXY_FIX_ENABLED=true"}})
	require.NoError(t, err)
	require.Empty(t, warnings)
}

func TestFrontendsBackendIsChecked(t *testing.T) {
	t.Parallel()
	require.Empty(t, problems(t, RoleFrontend))
	found := problems(t, RoleFrontend, "LLMCTL_STUDIO_BACKEND_URL=backend:5055", "LLMCTL_STUDIO_FRONTEND_BIND=8080",
		"LLMCTL_STUDIO_BACKEND_CERTFILE=x", "LLMCTL_STUDIO_API_PREFIX=/", "LLMCTL_STUDIO_WEB_PREFIX=//")
	for _, variable := range []string{
		"LLMCTL_STUDIO_BACKEND_URL", "LLMCTL_STUDIO_FRONTEND_BIND", "LLMCTL_STUDIO_BACKEND_KEYFILE", "LLMCTL_STUDIO_API_PREFIX", "LLMCTL_STUDIO_WEB_PREFIX",
	} {
		require.Contains(t, found, variable)
	}
}
