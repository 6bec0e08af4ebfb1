package main

// image is one image: its parts, bottom first, and how it starts.
type image struct {
	Name  string // and the target in the Dockerfile
	Title string
	Parts []part
	Start []string // entry point and its first argument
	Env   []string
	Ports []string
	User  string // numeric, so that runAsNonRoot can be checked
}

// The account that everything runs as; it owns nothing but its folders.
const (
	uid  = 65532
	user = "65532:65532"
)

const program = "/usr/local/bin/llmctl"

// catalogue is what is in which image. All roles share the layers of one binary, so a
// node pulls it once.
func catalogue() []image {
	studio := []part{certificates{}, folders{}, binary{}}
	// They read Git sources: workers index them, the backend checks them.
	reading := []part{certificates{}, folders{}, binary{}, versionControl{}}
	// Script nodes run commands: that image alone has a shell.
	executor := []part{certificates{}, folders{}, binary{}, shell{}}
	serving := []string{"GUNICORN_BIND=0.0.0.0:5155", "LLMCTL_STUDIO_INTERNAL_BIND=0.0.0.0:9091", "LLMCTL_STUDIO_DATA_DIR=/data"}
	working := []string{"LLMCTL_STUDIO_INTERNAL_BIND=0.0.0.0:9091", "LLMCTL_STUDIO_DATA_DIR=/data"}
	return []image{
		{
			Name: "llmctl-studio-backend", Title: "API and realtime; also the migrations and the start-up gate",
			Parts: reading, Start: []string{program, "serve"}, Env: serving, Ports: []string{"5155", "9091"}, User: user,
		},
		{
			Name: "llmctl-celery-worker", Title: "consumes the queues",
			Parts: reading, Start: []string{program, "worker"}, Env: working, Ports: []string{"9091"}, User: user,
		},
		{
			Name: "llmctl-celery-beat", Title: "schedules and periodic work",
			Parts: studio, Start: []string{program, "beat"}, Env: working, Ports: []string{"9091"}, User: user,
		},
		{
			Name: "llmctl-mcp", Title: "the Studio's own MCP server",
			Parts: studio, Start: []string{program, "mcp"}, Env: working, Ports: []string{"9020"}, User: user,
		},
		{
			Name: "llmctl-executor-frontier", Title: "one node of a flowchart, then ends",
			Parts: executor, Start: []string{program, "executor"}, User: user,
		},
		{
			Name: "llmctl-executor-vllm", Title: "the same for nodes that get a GPU: asks the runtime for the driver",
			Parts: executor, Start: []string{program, "executor"}, User: user,
			Env: []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
		},
		{
			Name: "llmctl-studio-frontend", Title: "nginx with the page; passes /api/ on to the backend",
			Parts: []part{nginx{}, page{}, version{}, file{"docker/frontend/nginx.conf", "/etc/nginx/nginx.conf"}},
			Start: []string{"/usr/sbin/nginx", "-e", "/dev/stderr", "-g", "daemon off;"}, Ports: []string{"8080"}, User: user,
		},
	}
}
