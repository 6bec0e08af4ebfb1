package config

import "time"

// Seconds is a duration that is given in seconds, with a fraction if need be.
type Seconds time.Duration

// Duration gives the time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// Config is everything that can be set. A field's env tag names its variable,
// default is what holds without it, doc says what it means; oneof and min bound
// what is accepted.
type Config struct {
	Database  Database
	Embedded  Embedded
	Gunicorn  Gunicorn
	Proxy     Proxy
	Routes    Routes
	SocketIO  SocketIO
	Worker    Worker
	Executor  Executor
	Studio    Studio
	Sources   map[string]Source `env:"-"` // by variable
	variables []variable
}

// Database says where the data lies.
type Database struct {
	URI      Secret  `env:"LLMCTL_STUDIO_DATABASE_URI" doc:"PostgreSQL address; SQLAlchemy forms such as postgresql+psycopg:// are understood"`
	Host     string  `env:"LLMCTL_POSTGRES_HOST" doc:"used when the URI is empty, with the four below"`
	Port     int     `env:"LLMCTL_POSTGRES_PORT" min:"0" doc:"port"`
	Name     string  `env:"LLMCTL_POSTGRES_DB" doc:"database"`
	User     string  `env:"LLMCTL_POSTGRES_USER" doc:"user"`
	Password Secret  `env:"LLMCTL_POSTGRES_PASSWORD" doc:"password"`
	Check    bool    `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_ENABLED" default:"true" doc:"preflight before serving: connect, migrate, core tables"`
	Timeout  Seconds `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_TIMEOUT_SECONDS" default:"60" min:"0" doc:"how long the preflight tries, seconds"`
	Interval Seconds `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_INTERVAL_SECONDS" default:"2" min:"0.1" doc:"between its tries, seconds"`
}

// Embedded is about the server that `llmctl up` brings.
type Embedded struct {
	BinDir string `env:"LLMCTL_POSTGRES_BIN_DIR" doc:"folder with the binaries of the embedded PostgreSQL; empty: looked for"`
}

// Gunicorn are the serving controls under Gunicorn's names.
type Gunicorn struct {
	Bind      string `env:"GUNICORN_BIND" doc:"address to serve on; empty: FLASK_HOST:FLASK_PORT, else 127.0.0.1:5055"`
	FlaskHost string `env:"FLASK_HOST" doc:"host, when GUNICORN_BIND is empty"`
	FlaskPort int    `env:"FLASK_PORT" min:"0" doc:"port, when GUNICORN_BIND is empty"`
	LogLevel  string `env:"GUNICORN_LOG_LEVEL" default:"info" oneof:"debug,info,warning,error,critical" doc:"least level that is logged"`
}

// Proxy says how many proxies before us are trusted for which header.
type Proxy struct {
	Enabled bool `env:"LLMCTL_STUDIO_PROXY_FIX_ENABLED" default:"false" doc:"trust forwarded headers"`
	For     int  `env:"LLMCTL_STUDIO_PROXY_FIX_X_FOR" default:"1" min:"0" doc:"trusted hops of X-Forwarded-For"`
	Proto   int  `env:"LLMCTL_STUDIO_PROXY_FIX_X_PROTO" default:"1" min:"0" doc:"trusted hops of X-Forwarded-Proto"`
	Host    int  `env:"LLMCTL_STUDIO_PROXY_FIX_X_HOST" default:"1" min:"0" doc:"trusted hops of X-Forwarded-Host"`
	Port    int  `env:"LLMCTL_STUDIO_PROXY_FIX_X_PORT" default:"1" min:"0" doc:"trusted hops of X-Forwarded-Port"`
	Prefix  int  `env:"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX" default:"0" min:"0" doc:"trusted hops of X-Forwarded-Prefix"`
}

// Routes are the prefixes.
type Routes struct {
	API string `env:"LLMCTL_STUDIO_API_PREFIX" default:"/api" doc:"prefix of the API"`
	Web string `env:"LLMCTL_STUDIO_WEB_PREFIX" default:"/web" doc:"prefix of the page"`
}

// SocketIO is the realtime side.
type SocketIO struct {
	Path         string   `env:"LLMCTL_STUDIO_SOCKETIO_PATH" default:"/socket.io" doc:"path, served below the API prefix as well"`
	Origins      []string `env:"LLMCTL_STUDIO_SOCKETIO_CORS_ALLOWED_ORIGINS" doc:"allowed origins, comma separated, or *; empty: same origin"`
	Transports   []string `env:"LLMCTL_STUDIO_SOCKETIO_TRANSPORTS" default:"websocket,polling" oneof:"websocket,polling" doc:"what the server accepts"`
	PingInterval Seconds  `env:"LLMCTL_STUDIO_SOCKETIO_PING_INTERVAL" default:"25" min:"1" doc:"heartbeat, seconds"`
	PingTimeout  Seconds  `env:"LLMCTL_STUDIO_SOCKETIO_PING_TIMEOUT" default:"20" min:"1" doc:"how long a heartbeat's answer may take, seconds"`
}

// Worker is about consuming queues.
type Worker struct {
	Queues      []string `env:"CELERY_WORKER_QUEUES" default:"llmctl_studio,llmctl_studio.downloads.huggingface,llmctl_studio.rag.index,llmctl_studio.rag.drive,llmctl_studio.rag.git" doc:"queues to consume"`
	Concurrency int      `env:"CELERY_WORKER_CONCURRENCY" default:"4" min:"1" doc:"node runs at a time"`
	Hostname    string   `env:"CELERY_WORKER_HOSTNAME" doc:"name of this worker; empty: the host's"`
}

// Executor is about where nodes run.
type Executor struct {
	Provider    string   `env:"LLMCTL_NODE_EXECUTOR_PROVIDER" default:"process" oneof:"inline,process" doc:"inline: script nodes off; process: script nodes in child processes"`
	ScriptNodes *bool    `env:"LLMCTL_STUDIO_SCRIPT_NODES" doc:"whether script nodes may run; empty: yes under up, else no"`
	HTTPAllow   []string `env:"LLMCTL_STUDIO_HTTP_NODE_ALLOW" doc:"hosts and networks that http nodes may reach although private, comma separated"`
}

// Studio is everything else.
type Studio struct {
	DataDir       string `env:"LLMCTL_STUDIO_DATA_DIR" default:"./data" doc:"workspaces, models, attachments, embedded database"`
	SecretKey     Secret `env:"LLMCTL_STUDIO_SECRET_KEY" doc:"key that encrypts secrets at rest, base64 of 32 bytes; up makes one in the data dir"`
	SecretKeyFile string `env:"LLMCTL_STUDIO_SECRET_KEY_FILE" doc:"file that holds it"`
	AdminEmail    string `env:"LLMCTL_STUDIO_ADMIN_EMAIL" doc:"with the password: creates the first admin at start"`
	AdminPassword Secret `env:"LLMCTL_STUDIO_ADMIN_PASSWORD" doc:"at least 10 characters"`
	InternalBind  string `env:"LLMCTL_STUDIO_INTERNAL_BIND" default:"127.0.0.1:9091" doc:"metrics and profiles; off: none"`
}
