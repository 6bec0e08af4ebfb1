package doctor

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // something does not work
	Warning Severity = "warning" // it works, but worse or less safely than it could
)

// Finding is one thing that is wrong.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Seen     string   `json:"seen"`
	Fix      string   `json:"fix"`
	Snippet  string   `json:"snippet,omitempty"` // of nginx' configuration, where that is the place
}

// State is how a check ended.
type State string

// The states.
const (
	Passed  State = "ok"
	Found   State = "finding"
	Skipped State = "skipped"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
}

// Report is what all checks gave.
type Report struct {
	URL      string    `json:"url"`
	Version  string    `json:"server_version,omitempty"`
	Checks   []Check   `json:"checks"`
	Findings []Finding `json:"findings"`
}

func (r *Report) pass(name, detail string) {
	r.Checks = append(r.Checks, Check{Name: name, State: Passed, Detail: detail})
}

func (r *Report) skip(name, why string) {
	r.Checks = append(r.Checks, Check{Name: name, State: Skipped, Detail: why})
}

func (r *Report) find(name string, f Finding) {
	r.Checks = append(r.Checks, Check{Name: name, State: Found, Detail: f.ID})
	for _, known := range r.Findings {
		if known.ID == f.ID { // another check has met it, too
			return
		}
	}
	r.Findings = append(r.Findings, f)
}

// Snippets of nginx' configuration.
const (
	snippetUpgrade = `map $http_upgrade $studio_connection { default upgrade; '' ''; }
location / {
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $studio_connection;
}`
	snippetHost = `proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-Host $http_host;
proxy_set_header X-Forwarded-Port $server_port;`
	snippetProto = `proxy_set_header X-Forwarded-Proto $scheme;`
	snippetFor   = `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`
	snippetBody  = `client_max_body_size 32m;`
	snippetStill = `proxy_read_timeout 3600s;
proxy_send_timeout 3600s;`
	snippetBuffer = `proxy_buffering off;
proxy_http_version 1.1;`
	snippetGzip   = `gzip_types text/css application/javascript application/json image/svg+xml;   # without text/event-stream and *`
	snippetSticky = `upstream studio {
    ip_hash;
    server studio-1:5155;
    server studio-2:5155;
}`
	snippetRedirect = `absolute_redirect off;
proxy_redirect off;`
)

func snippetPrefix(prefix string) string {
	return `location ` + prefix + `/ {
    proxy_pass http://studio/;
    proxy_set_header X-Forwarded-Prefix ` + prefix + `;
}`
}

func snippetRoutes(prefix string) string {
	return `location ` + prefix + `/ { proxy_pass http://studio/; }   # everything; no try_files, no error_page to the page`
}
