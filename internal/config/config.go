package config

import (
	"io/fs"
	"time"
)

// Config is everything that the environment decides. Tags: env is the
// variable, default its value when unset, auto describes a default that is
// worked out, min, max and oneof limit it, doc explains it.
type Config struct {
	Database    Database    `section:"Database"`
	Healthcheck Healthcheck `section:"Database preflight"`
	Server      Server      `section:"HTTP server"`
	Proxy       Proxy       `section:"Reverse proxy and paths"`
	Frontend    Frontend    `section:"Frontend (llmctl frontend)"`
	SocketIO    SocketIO    `section:"Realtime (Socket.IO)"`
	Redis       Redis       `section:"Redis"`
	Worker      Worker      `section:"Worker"`
	MCP         MCP         `section:"MCP server and start-up gate"`
	Executor    Executor    `section:"Node executor"`
	Kubernetes  Kubernetes  `section:"Kubernetes executor"`
	Payload     Payload     `section:"Executor process"`
	Studio      Studio      `section:"Studio"`
	Hub         Hub         `section:"Model downloads"`
	Telemetry   Telemetry   `section:"Traces (OpenTelemetry)"`
	Operator    Operator    `section:"Operator commands"`
	Test        Test        `section:"Disposable database (llmctl db with-test)"`

	entries []Entry
}

// Database says where the data lives.
type Database struct {
	URI      Secret `env:"LLMCTL_STUDIO_DATABASE_URI" auto:"built from LLMCTL_POSTGRES_*" doc:"Address of the PostgreSQL database: postgresql://, postgres:// or a SQLAlchemy form such as postgresql+psycopg://. llmctl up starts a database of its own when this and LLMCTL_POSTGRES_* are unset."`
	Host     string `env:"LLMCTL_POSTGRES_HOST" doc:"Host of the database. Used when the URI is empty; then all five LLMCTL_POSTGRES_ variables must be set."`
	Port     int    `env:"LLMCTL_POSTGRES_PORT" min:"1" max:"65535" doc:"Port of the database."`
	Name     string `env:"LLMCTL_POSTGRES_DB" doc:"Name of the database."`
	User     string `env:"LLMCTL_POSTGRES_USER" doc:"User of the database."`
	Password Secret `env:"LLMCTL_POSTGRES_PASSWORD" doc:"Password of that user."`
	BinDir   string `env:"LLMCTL_POSTGRES_BIN_DIR" auto:"searched" doc:"Folder of the PostgreSQL programs (initdb, postgres) for the database that llmctl up starts itself."`
}

// Healthcheck is the preflight before the web and API start.
type Healthcheck struct {
	Enabled  bool          `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_ENABLED" default:"true" doc:"Check the database before serving: connection, schema, core tables."`
	Timeout  time.Duration `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_TIMEOUT_SECONDS" default:"60" min:"0" doc:"How long to wait for the database."`
	Interval time.Duration `env:"LLMCTL_STUDIO_DB_HEALTHCHECK_INTERVAL_SECONDS" default:"2" min:"0.1" doc:"Pause between two tries."`
}

// Server follows Gunicorn's settings.
type Server struct {
	Bind                 List          `env:"GUNICORN_BIND" auto:"FLASK_HOST:FLASK_PORT, else 127.0.0.1:5055" doc:"Addresses to listen on, comma separated: host:port or unix:/path."`
	FlaskHost            string        `env:"FLASK_HOST" default:"127.0.0.1" doc:"Host to listen on when GUNICORN_BIND is unset."`
	FlaskPort            int           `env:"FLASK_PORT" default:"5055" min:"0" max:"65535" doc:"Port to listen on when GUNICORN_BIND is unset."`
	Workers              int           `env:"GUNICORN_WORKERS" auto:"1 without Redis, else the number of cores, at most 4" min:"1" max:"1024" doc:"Web worker processes."`
	Threads              int           `env:"GUNICORN_THREADS" default:"0" min:"0" max:"100000" doc:"Concurrent requests per worker; 0 means no limit. Further ones wait in a bounded line."`
	WorkerClass          string        `env:"GUNICORN_WORKER_CLASS" default:"gthread" oneof:"sync|gthread|gevent|eventlet|tornado|geventwebsocket.gunicorn.workers.GeventWebSocketWorker" doc:"Accepted for compatibility; all classes run on goroutines."`
	WorkerConnections    int           `env:"GUNICORN_WORKER_CONNECTIONS" default:"10000" min:"1" doc:"Simultaneous connections per worker; further ones wait in the backlog."`
	Timeout              time.Duration `env:"GUNICORN_TIMEOUT" default:"120" min:"1" doc:"A worker without a heartbeat for that long is replaced."`
	GracefulTimeout      time.Duration `env:"GUNICORN_GRACEFUL_TIMEOUT" default:"30" min:"1" doc:"How long running requests may take to finish when a worker stops."`
	Keepalive            time.Duration `env:"GUNICORN_KEEPALIVE" default:"5" min:"1" doc:"How long an idle connection is kept."`
	LogLevel             string        `env:"GUNICORN_LOG_LEVEL" default:"info" oneof:"debug|info|warning|error|critical" doc:"Least severity that is logged."`
	AccessLog            string        `env:"GUNICORN_ACCESS_LOG" default:"-" doc:"File of the access log; - is stdout. Reopened on USR1."`
	ErrorLog             string        `env:"GUNICORN_ERROR_LOG" default:"-" doc:"File of the log; - is stderr. Reopened on USR1."`
	AccessLogFormat      string        `env:"GUNICORN_ACCESS_LOG_FORMAT" default:"%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"" doc:"Format of an access log line, in Gunicorn's terms."`
	MaxRequests          int           `env:"GUNICORN_MAX_REQUESTS" default:"0" min:"0" doc:"Replace a worker after that many requests; 0 means never."`
	MaxRequestsJitter    int           `env:"GUNICORN_MAX_REQUESTS_JITTER" default:"0" min:"0" doc:"Up to that many requests more, so that workers do not end together."`
	Certfile             string        `env:"GUNICORN_CERTFILE" doc:"TLS certificate; needs GUNICORN_KEYFILE."`
	Keyfile              string        `env:"GUNICORN_KEYFILE" doc:"TLS key; needs GUNICORN_CERTFILE."`
	CACerts              string        `env:"GUNICORN_CA_CERTS" doc:"CA certificates; when set, clients must present a certificate of one of them."`
	ControlSocket        string        `env:"GUNICORN_CONTROL_SOCKET" auto:"gunicorn.ctl in the data folder" doc:"Path of the control socket."`
	ControlSocketMode    fs.FileMode   `env:"GUNICORN_CONTROL_SOCKET_MODE" default:"0600" doc:"Permissions of the control socket, octal."`
	ControlSocketDisable bool          `env:"GUNICORN_CONTROL_SOCKET_DISABLE" default:"false" doc:"Do not open a control socket."`
	UseArbiter           bool          `env:"LLMCTL_STUDIO_USE_GUNICORN" default:"true" doc:"false serves from one process without an arbiter, for debugging."`
	InternalBind         string        `env:"LLMCTL_STUDIO_INTERNAL_BIND" default:"127.0.0.1:9091" doc:"Address for metrics, profiles and forwarding between replicas; off disables it."`
	InternalAdvertise    string        `env:"LLMCTL_STUDIO_INTERNAL_ADVERTISE" auto:"LLMCTL_STUDIO_INTERNAL_BIND, with an address of this machine if that names none" doc:"host:port at which other replicas reach this one's internal listener; off: they do not, and sessions need sticky routing between replicas."`
}

// Proxy says what stands in front and below which paths things are served.
type Proxy struct {
	Enabled   bool   `env:"LLMCTL_STUDIO_PROXY_FIX_ENABLED" default:"false" doc:"Trust the X-Forwarded-* headers of the proxy in front."`
	For       int    `env:"LLMCTL_STUDIO_PROXY_FIX_X_FOR" default:"1" min:"0" max:"32" doc:"Trusted hops of X-Forwarded-For."`
	Proto     int    `env:"LLMCTL_STUDIO_PROXY_FIX_X_PROTO" default:"1" min:"0" max:"32" doc:"Trusted hops of X-Forwarded-Proto."`
	Host      int    `env:"LLMCTL_STUDIO_PROXY_FIX_X_HOST" default:"1" min:"0" max:"32" doc:"Trusted hops of X-Forwarded-Host."`
	Port      int    `env:"LLMCTL_STUDIO_PROXY_FIX_X_PORT" default:"1" min:"0" max:"32" doc:"Trusted hops of X-Forwarded-Port."`
	Prefix    int    `env:"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX" default:"0" min:"0" max:"32" doc:"Trusted hops of X-Forwarded-Prefix."`
	APIPrefix string `env:"LLMCTL_STUDIO_API_PREFIX" default:"/api" doc:"Path of the API."`
	WebPrefix string `env:"LLMCTL_STUDIO_WEB_PREFIX" default:"/web" doc:"Path of the user interface."`
}

// Frontend is a process that serves the page and has the API from a backend.
type Frontend struct {
	Bind       List   `env:"LLMCTL_STUDIO_FRONTEND_BIND" default:"127.0.0.1:8080" doc:"Addresses that llmctl frontend listens on, comma separated: host:port or unix:/path. With GUNICORN_CERTFILE it speaks TLS there."`
	BackendURL string `env:"LLMCTL_STUDIO_BACKEND_URL" default:"http://127.0.0.1:5055" doc:"Address of the backend (llmctl serve) that llmctl frontend passes the API on to."`
	CACerts    string `env:"LLMCTL_STUDIO_BACKEND_CA_CERTS" doc:"CA certificates that an https backend is checked against; the system's when empty."`
	Certfile   string `env:"LLMCTL_STUDIO_BACKEND_CERTFILE" doc:"Client certificate to show to the backend; needs LLMCTL_STUDIO_BACKEND_KEYFILE."`
	Keyfile    string `env:"LLMCTL_STUDIO_BACKEND_KEYFILE" doc:"Key of that certificate."`
}

// SocketIO is the realtime server.
type SocketIO struct {
	MessageQueue   Secret        `env:"LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE" auto:"redis at CELERY_REDIS_HOST when that is set, else the database" doc:"Bus between processes: redis://, rediss://, redis-sentinel:// or redis-cluster://."`
	Adapter        List          `env:"LLMCTL_STUDIO_SOCKETIO_ADAPTER" oneof:"classic|python" doc:"Foreign Socket.IO servers and emitters on the same Redis to talk with: classic (the @socket.io/redis-adapter and -emitter), python (python-socketio's JSON messages), or both."`
	AdapterKey     string        `env:"LLMCTL_STUDIO_SOCKETIO_ADAPTER_KEY" default:"socket.io" doc:"First part of the channels of classic, as the others have it."`
	PythonChannel  string        `env:"LLMCTL_STUDIO_SOCKETIO_PYTHON_CHANNEL" default:"flask-socketio" doc:"Channel of python, as the others have it."`
	Path           string        `env:"LLMCTL_STUDIO_SOCKETIO_PATH" default:"/socket.io" doc:"Path of the realtime endpoint; served below the API path as well."`
	CORSOrigins    List          `env:"LLMCTL_STUDIO_SOCKETIO_CORS_ALLOWED_ORIGINS" auto:"same origin" doc:"Origins that may connect, comma separated, or *."`
	Transports     List          `env:"LLMCTL_STUDIO_SOCKETIO_TRANSPORTS" default:"websocket,polling" oneof:"websocket|polling" doc:"Transports that the server accepts."`
	PingInterval   time.Duration `env:"LLMCTL_STUDIO_SOCKETIO_PING_INTERVAL" default:"25" min:"1" doc:"Pause between two heartbeats."`
	PingTimeout    time.Duration `env:"LLMCTL_STUDIO_SOCKETIO_PING_TIMEOUT" default:"20" min:"1" doc:"How long a client may take to answer one."`
	MonitorClients bool          `env:"LLMCTL_STUDIO_SOCKETIO_MONITOR_CLIENTS" default:"true" doc:"Close clients that miss their heartbeat."`
	Logger         bool          `env:"LLMCTL_STUDIO_SOCKETIO_LOGGER" default:"false" doc:"Log Socket.IO packets."`
	EngineIOLogger bool          `env:"LLMCTL_STUDIO_SOCKETIO_ENGINEIO_LOGGER" default:"false" doc:"Log Engine.IO packets."`
}

// Redis is the shared Redis; it only makes things faster.
type Redis struct {
	Host string `env:"CELERY_REDIS_HOST" doc:"Host of the shared Redis."`
	Port int    `env:"CELERY_REDIS_PORT" default:"6379" min:"1" max:"65535" doc:"Port of the shared Redis."`
	DB   int    `env:"LLMCTL_STUDIO_SOCKETIO_REDIS_DB" default:"0" min:"0" max:"65535" doc:"Database number of the realtime bus."`
}

// Worker consumes queues.
type Worker struct {
	Queues          List          `env:"CELERY_WORKER_QUEUES" default:"llmctl_studio,llmctl_studio.downloads.huggingface,llmctl_studio.rag.index,llmctl_studio.rag.drive,llmctl_studio.rag.git" oneof:"llmctl_studio|llmctl_studio.downloads.huggingface|llmctl_studio.rag.index|llmctl_studio.rag.drive|llmctl_studio.rag.git" doc:"Queues to work on, comma separated."`
	Concurrency     int           `env:"CELERY_WORKER_CONCURRENCY" default:"4" min:"1" max:"1024" doc:"Pieces of work at the same time."`
	Hostname        string        `env:"CELERY_WORKER_HOSTNAME" default:"%h" doc:"Name of this worker in lists and logs; %h is the host name."`
	CleanupEnabled  bool          `env:"WORKSPACE_CLEANUP_ENABLED" default:"true" doc:"Remove workspaces of this host that no live attempt uses: what a killed worker left behind."`
	CleanupInterval time.Duration `env:"WORKSPACE_CLEANUP_INTERVAL_SECONDS" default:"300" min:"10" doc:"Pause between two such clean-ups."`
	ChatConcurrency int           `env:"LLMCTL_STUDIO_CHAT_CONCURRENCY" default:"64" min:"1" max:"10000" doc:"Chat turns at the same time; they take no node slots."`
}

// MCP is the Studio's own MCP server and the gate that waits for it.
type MCP struct {
	Host              string        `env:"LLMCTL_MCP_HOST" default:"0.0.0.0" doc:"Host that llmctl mcp listens on."`
	Port              int           `env:"LLMCTL_MCP_PORT" default:"9020" min:"0" max:"65535" doc:"Port that llmctl mcp listens on."`
	Path              string        `env:"LLMCTL_MCP_PATH" default:"/mcp" doc:"Path of the MCP endpoint."`
	DefaultLimit      int           `env:"LLMCTL_MCP_DEFAULT_LIMIT" default:"200" min:"1" max:"1000" doc:"Rows of a list that an MCP tool gives when nobody says how many."`
	MaxLimit          int           `env:"LLMCTL_MCP_MAX_LIMIT" default:"1000" min:"1" max:"10000" doc:"Rows of a list that an MCP tool gives at most."`
	PublicBaseURL     string        `env:"LLMCTL_MCP_PUBLIC_BASE_URL" doc:"Address at which MCP servers are reached from outside: the Studio's own at <base>/mcp/llmctl. Web pages of this origin may use it."`
	WaitEnabled       bool          `env:"LLMCTL_STUDIO_MCP_WAIT_ENABLED" default:"true" doc:"false lets llmctl wait-mcp end at once."`
	WaitTimeout       time.Duration `env:"LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS" default:"240" min:"1" doc:"How long llmctl wait-mcp waits."`
	RequiredEndpoints List          `env:"LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS" auto:"http://llmctl-mcp.NAMESPACE.svc.cluster.local:9020/mcp" doc:"Endpoints that must answer first, comma separated."`
	Namespace         string        `env:"POD_NAMESPACE" default:"llmctl" doc:"Namespace of this pod, for the default endpoint above."`
}

// Executor says how nodes are executed. These are first-run defaults of the
// settings in the database.
type Executor struct {
	Provider             string        `env:"LLMCTL_NODE_EXECUTOR_PROVIDER" default:"process" oneof:"inline|process|kubernetes" doc:"Where nodes run."`
	DispatchTimeout      time.Duration `env:"LLMCTL_NODE_EXECUTOR_DISPATCH_TIMEOUT_SECONDS" default:"300" min:"5" max:"3600" doc:"How long a node may take to start."`
	ExecutionTimeout     time.Duration `env:"LLMCTL_NODE_EXECUTOR_EXECUTION_TIMEOUT_SECONDS" default:"1800" min:"30" max:"86400" doc:"How long a node may run."`
	LogCollectionTimeout time.Duration `env:"LLMCTL_NODE_EXECUTOR_LOG_COLLECTION_TIMEOUT_SECONDS" default:"30" min:"1" max:"600" doc:"How long to wait for the last log lines."`
	CancelGrace          time.Duration `env:"LLMCTL_NODE_EXECUTOR_CANCEL_GRACE_TIMEOUT_SECONDS" default:"15" min:"1" max:"300" doc:"How long a cancelled node may take to end by itself."`
	CancelForceKill      bool          `env:"LLMCTL_NODE_EXECUTOR_CANCEL_FORCE_KILL_ENABLED" default:"true" doc:"Kill a cancelled node after its grace."`
	WorkspaceIdentity    string        `env:"LLMCTL_NODE_EXECUTOR_WORKSPACE_IDENTITY_KEY" default:"default" doc:"Name of the workspace that nodes share."`
}

// Kubernetes says how node Jobs are made.
type Kubernetes struct {
	Namespace            string        `env:"LLMCTL_NODE_EXECUTOR_K8S_NAMESPACE" default:"default" doc:"Namespace of the Jobs."`
	FrontierImage        string        `env:"LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE" default:"llmctl-executor-frontier" doc:"Image for nodes of hosted models."`
	FrontierImageTag     string        `env:"LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE_TAG" default:"latest" doc:"Tag of that image."`
	VLLMImage            string        `env:"LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE" default:"llmctl-executor-vllm" doc:"Image for nodes of local models."`
	VLLMImageTag         string        `env:"LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE_TAG" default:"latest" doc:"Tag of that image."`
	InCluster            bool          `env:"LLMCTL_NODE_EXECUTOR_K8S_IN_CLUSTER" default:"false" doc:"Use the service account of the pod."`
	ServiceAccount       string        `env:"LLMCTL_NODE_EXECUTOR_K8S_SERVICE_ACCOUNT" doc:"Service account of the Jobs."`
	APIURL               string        `env:"LLMCTL_NODE_EXECUTOR_K8S_API_URL" auto:"http://llmctl-studio-backend.POD_NAMESPACE.svc.cluster.local:5155 with LLMCTL_STUDIO_API_PREFIX" doc:"Where the pods of Jobs reach the API, with its prefix."`
	CPURequest           string        `env:"LLMCTL_NODE_EXECUTOR_K8S_CPU_REQUEST" default:"100m" doc:"CPU that a Job asks for unless its node says otherwise, in Kubernetes' notation; empty: none."`
	MemoryRequest        string        `env:"LLMCTL_NODE_EXECUTOR_K8S_MEMORY_REQUEST" default:"128Mi" doc:"Memory that a Job asks for, likewise."`
	CPULimit             string        `env:"LLMCTL_NODE_EXECUTOR_K8S_CPU_LIMIT" default:"1" doc:"CPU that a Job may use at most, likewise."`
	MemoryLimit          string        `env:"LLMCTL_NODE_EXECUTOR_K8S_MEMORY_LIMIT" default:"1Gi" doc:"Memory that a Job may use at most, likewise."`
	GPULimit             int           `env:"LLMCTL_NODE_EXECUTOR_K8S_GPU_LIMIT" default:"0" min:"0" max:"8" doc:"GPUs per Job."`
	JobTTL               time.Duration `env:"LLMCTL_NODE_EXECUTOR_K8S_JOB_TTL_SECONDS" default:"1800" min:"60" max:"86400" doc:"How long a finished Job is kept."`
	ImagePullSecretsJSON string        `env:"LLMCTL_NODE_EXECUTOR_K8S_IMAGE_PULL_SECRETS_JSON" doc:"JSON list of image pull secrets: names, or objects with a name."`
	LiveCodeEnabled      bool          `env:"LLMCTL_NODE_EXECUTOR_K8S_LIVE_CODE_ENABLED" default:"false" doc:"Mount code of the machine into Jobs, for development."`
	LiveCodeHostPath     string        `env:"LLMCTL_NODE_EXECUTOR_K8S_LIVE_CODE_HOST_PATH" doc:"The folder to mount."`
	ArgoCDAppName        string        `env:"LLMCTL_NODE_EXECUTOR_K8S_ARGOCD_APP_NAME" default:"llmctl-studio" doc:"Name for Argo CD's tracking label on Jobs."`
}

// Payload is what llmctl executor is given by its dispatcher.
type Payload struct {
	File       string `env:"LLMCTL_EXECUTOR_PAYLOAD_FILE" doc:"File with the payload of the one node to run. Set by the dispatcher."`
	JSON       Secret `env:"LLMCTL_EXECUTOR_PAYLOAD_JSON" doc:"The payload itself. Set by the dispatcher."`
	OutputFile string `env:"LLMCTL_EXECUTOR_OUTPUT_FILE" doc:"File for the result. Set by the dispatcher."`
	DefaultCwd string `env:"LLMCTL_EXECUTOR_DEFAULT_CWD" auto:"a temporary workspace" doc:"Working folder of the node."`

	Token          Secret `env:"LLMCTL_EXECUTOR_TOKEN" doc:"Token of the one attempt: the executor then works with the API instead of a parent process. Set by the dispatcher."`
	TokenFile      string `env:"LLMCTL_EXECUTOR_TOKEN_FILE" doc:"File that holds that token instead."`
	APIURL         string `env:"LLMCTL_EXECUTOR_API_URL" doc:"Address of the Studio's API as the executor reaches it, for example http://llmctl-studio-backend:5155/api. Set by the dispatcher."`
	PodUID         string `env:"LLMCTL_EXECUTOR_POD_UID" auto:"a random one" doc:"Id of the pod, by which the API tells two of them apart. Set by the dispatcher."`
	SecretsDir     string `env:"LLMCTL_EXECUTOR_SECRETS_DIR" doc:"Folder with the node's secrets, one file each. Set by the dispatcher."`
	TerminationLog string `env:"LLMCTL_EXECUTOR_TERMINATION_LOG" default:"/dev/termination-log" doc:"File that gets a word about the end, if it is there."`
}

// Studio is what belongs to the installation as a whole.
type Studio struct {
	DataDir       string `env:"LLMCTL_STUDIO_DATA_DIR" default:"./data" doc:"Folder for workspaces, models, attachments and the database that llmctl up starts."`
	SecretKey     Secret `env:"LLMCTL_STUDIO_SECRET_KEY" auto:"generated into the data folder by llmctl up" doc:"Key that encrypts stored secrets: base64 of 32 bytes."`
	SecretKeyFile string `env:"LLMCTL_STUDIO_SECRET_KEY_FILE" doc:"File that holds that key instead."`
	AdminEmail    string `env:"LLMCTL_STUDIO_ADMIN_EMAIL" doc:"Creates the first administrator when there is no user yet; needs the password too."`
	AdminPassword Secret `env:"LLMCTL_STUDIO_ADMIN_PASSWORD" doc:"Password of that administrator."`
	ScriptNodes   bool   `env:"LLMCTL_STUDIO_SCRIPT_NODES" auto:"true under llmctl up, else false" doc:"Allow script nodes, which run code of the users."`
	HTTPNodeAllow List   `env:"LLMCTL_STUDIO_HTTP_NODE_ALLOW" doc:"Hosts and networks that http nodes may reach although they are private, comma separated."`
	MCPAllow      List   `env:"LLMCTL_STUDIO_MCP_SERVER_ALLOW" auto:"this machine under llmctl up, else none" doc:"Hosts and networks that configured MCP servers may be at although they are private, comma separated; the services of integrated servers always are."`
	RAGAllow      List   `env:"LLMCTL_STUDIO_RAG_SOURCE_ALLOW" auto:"this machine under llmctl up, else none" doc:"Hosts and networks that Git and Drive sources may be at although they are private, comma separated."`
	RAGLocalRoots List   `env:"LLMCTL_STUDIO_RAG_LOCAL_ROOTS" doc:"Folders that sources may lie in (local folders, and Git repositories at file:// addresses), comma separated; none when empty. Each process that indexes needs them."`
}

// Hub is where models come from.
type Hub struct {
	Endpoint string `env:"HF_ENDPOINT" default:"https://huggingface.co" doc:"Address of the model hub."`
	Token    Secret `env:"HF_TOKEN" doc:"Token for the model hub."`
}

// Operator is what commands for operators take from the environment.
type Operator struct {
	BackupPassphrase Secret `env:"LLMCTL_STUDIO_BACKUP_PASSPHRASE" doc:"Passphrase that encrypts the secret key in a backup; the flag --passphrase-file of llmctl db backup and restore stands above it."`
	DoctorAPIKey     Secret `env:"LLMCTL_STUDIO_DOCTOR_API_KEY" doc:"API key with which llmctl doctor makes its signed-in checks."`
}

// Test is the server that llmctl db with-test starts.
type Test struct {
	Port         int           `env:"LLMCTL_TEST_POSTGRES_PORT" default:"15432" min:"1" max:"65535" doc:"Port that is tried first; when it is taken, the next free one is."`
	StrictPort   bool          `env:"LLMCTL_TEST_POSTGRES_STRICT_PORT" default:"false" doc:"Fail when that port is taken."`
	Keep         bool          `env:"LLMCTL_TEST_POSTGRES_KEEP_CONTAINER" default:"false" doc:"Leave the server running afterwards, as --keep does."`
	Name         string        `env:"LLMCTL_TEST_POSTGRES_DB" default:"llmctl_studio" doc:"Name of the database."`
	User         string        `env:"LLMCTL_TEST_POSTGRES_USER" default:"llmctl" doc:"User of the database."`
	Password     Secret        `env:"LLMCTL_TEST_POSTGRES_PASSWORD" auto:"generated" doc:"Password of that user."`
	ReadyTimeout time.Duration `env:"LLMCTL_TEST_POSTGRES_READY_TIMEOUT_SECONDS" default:"60" min:"1" doc:"How long the server may take to start."`
}
