// Package llmtest is a scripted model server on loopback for tests. It speaks the
// chat completions protocol with embeddings and rankings below /v1, Anthropic's
// Messages protocol and Gemini's GenerateContent and BatchEmbedContents, answers
// prompts by rule, and records what clients did, also whether they closed the
// connection. It must never be part of production code.
package llmtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Reply is how the server answers one request. The zero value echoes the prompt.
type Reply struct {
	Text      string   // the answer, streamed word by word
	Chunks    []string // the answer in these pieces, instead of Text
	ToolCalls []ToolCall
	Finish    string // stop (default), length, content_filter; tool_calls if there are any
	Model     string // default: what was asked for
	Input     int    // tokens; default: words of the prompt
	Output    int    // tokens; default: number of pieces
	Cached    int

	// Gate holds the stream before the piece number GateAt until it is closed.
	Gate   <-chan struct{}
	GateAt int
	// Every is how long the server thinks before each piece: work that takes a while.
	Every time.Duration
	// Hang never answers: with HangAt 0 not even a status line, otherwise after
	// that many pieces.
	Hang   bool
	HangAt int
	// CutAfter breaks the connection off after that many pieces.
	CutAfter int

	// Status other than 0 and 200 answers with an error instead.
	Status       int
	RetryAfter   string
	ErrorCode    string
	ErrorMessage string
	// InStream sends the error inside a stream that began with status 200.
	InStream bool
	Location string // for redirects
}

// ToolCall is a call that the scripted model makes. Arguments must be JSON.
type ToolCall struct {
	ID, Name, Arguments string
}

// ContextLength is the error for a prompt that is too long.
func ContextLength() Reply {
	return Reply{Status: http.StatusBadRequest, ErrorCode: "context_length_exceeded", ErrorMessage: "This model's maximum context length is 100 tokens; prompt is too long."}
}

// Request is one recorded request.
type Request struct {
	Protocol string // openai, anthropic, gemini
	Path     string
	Header   http.Header
	Key      string // the API key, wherever the protocol carries it
	Model    string
	Prompt   string // all texts of system and messages, one per line
	Body     json.RawMessage
	Stream   bool
	Tools    []string     // names of the tools on offer
	Results  []ToolResult // what the client told of calls, all of the conversation
	Inputs   []string     // texts to embed, or passages to rank
	Purpose  string       // task type of an embedding, where the protocol has one
	gone     chan struct{}
	done     chan struct{}
}

// ClientGone is closed when the client closed the connection before the answer was
// complete.
func (r *Request) ClientGone() <-chan struct{} { return r.gone }

// Done is closed when the server is finished with the request, in whatever way.
func (r *Request) Done() <-chan struct{} { return r.done }

type rule struct {
	contains string
	replies  []Reply
	used     int
}

// Server is the scripted server.
type Server struct {
	mu       sync.Mutex
	rules    []*rule
	models   []string
	requests []*Request
	embed    Embeddings
	counts   EmbedCounts
	arrived  chan *Request
	stop     chan struct{}
	http     *httptest.Server
}

// New starts a server that ends with the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := Start()
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server on a free port of loopback.
func Start() *Server {
	s := &Server{models: []string{"scripted-model", "other-model"}, arrived: make(chan *Request, 4096), stop: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, openAI{}) })
	mux.HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, r *http.Request) { s.serveEmbed(w, r, openAI{}) })
	mux.HandleFunc("POST /v1/rerank", s.serveRerank)
	mux.HandleFunc("GET /v1/models", s.listModels)
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, messages{}) })
	mux.HandleFunc("POST /v1beta/models/{call}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.PathValue("call"), ":batchEmbedContents") {
			s.serveEmbed(w, r, generate{})
			return
		}
		s.serve(w, r, generate{})
	})
	mux.HandleFunc("GET /v1beta/models", s.listModels)
	s.http = httptest.NewServer(mux)
	return s
}

// Close lets go of everything that hangs and stops the server.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.mu.Unlock()
	s.http.Close()
}

// URL is the server's address: the base URL for Anthropic and Gemini.
func (s *Server) URL() string { return s.http.URL }

// OpenAIURL is the base URL for the chat completions protocol.
func (s *Server) OpenAIURL() string { return s.http.URL + "/v1" }

// BaseURL is the base URL for a provider kind.
func (s *Server) BaseURL(kind string) string {
	if kind == "openai" {
		return s.OpenAIURL()
	}
	return s.URL()
}

// On answers prompts that contain the text with the replies in turn; the last one
// is used again. Rules are tried in the order they were made, "" matches all.
func (s *Server) On(contains string, replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{contains: contains, replies: replies})
}

// Requests gives what arrived so far.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Request{}, s.requests...)
}

// Count is how many chat requests contained the text.
func (s *Server) Count(contains string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Prompt != "" && strings.Contains(r.Prompt, contains) {
			n++
		}
	}
	return n
}

// Next waits for the next chat request, in the order of arrival.
func (s *Server) Next(tb testing.TB) *Request {
	tb.Helper()
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case r := <-s.arrived:
		return r
	case <-t.C:
		tb.Fatal("no request reached the model server")
		return nil
	}
}

func (s *Server) pick(prompt string) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if len(r.replies) > 0 && strings.Contains(prompt, r.contains) {
			i := min(r.used, len(r.replies)-1)
			r.used++
			return r.replies[i]
		}
	}
	return Reply{}
}

// protocol is how one provider writes its answers.
type protocol interface {
	name() string
	parse(r *http.Request, body []byte) (model, prompt string, stream bool)
	begin(e *exchange)
	piece(e *exchange, i int, text string)
	end(e *exchange)
	whole(e *exchange) any
	failure(rep Reply) any
	inStream(e *exchange)
}

// exchange is one request and its answer being written.
type exchange struct {
	w      http.ResponseWriter
	req    *Request
	reply  Reply
	pieces []string
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, p protocol) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	req := &Request{Protocol: p.name(), Path: r.URL.Path, Header: r.Header.Clone(), Key: keyOf(r), Body: body, gone: make(chan struct{}), done: make(chan struct{})}
	req.Model, req.Prompt, req.Stream = p.parse(r, body)
	var faulty string
	req.Tools, req.Results, faulty = toolsOf(p.name(), body)
	e := &exchange{w: w, req: req, reply: s.pick(req.Prompt)}
	if faulty != "" {
		e.reply = Reply{Status: http.StatusBadRequest, ErrorMessage: faulty}
	}
	s.record(req)
	defer close(req.done)
	e.fill()
	if !s.write(r, e, p) {
		close(req.gone)
	}
}

func (s *Server) record(req *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	select {
	case s.arrived <- req:
	default:
	}
}

func (e *exchange) fill() {
	rep := &e.reply
	if rep.Text == "" && rep.Chunks == nil && len(rep.ToolCalls) == 0 {
		rep.Text = "echo: " + e.req.Prompt
	}
	e.pieces = rep.Chunks
	if e.pieces == nil && rep.Text != "" {
		e.pieces = strings.SplitAfter(rep.Text, " ")
	}
	if rep.Model == "" {
		rep.Model = e.req.Model
	}
	if rep.Finish == "" {
		rep.Finish = "stop"
		if len(rep.ToolCalls) > 0 {
			rep.Finish = "tool_calls"
		}
	}
	if rep.Input == 0 {
		rep.Input = max(1, len(strings.Fields(e.req.Prompt)))
	}
	if rep.Output == 0 {
		rep.Output = max(1, len(e.pieces))
	}
}

// write answers and reports false if the client left before the end.
func (s *Server) write(r *http.Request, e *exchange, p protocol) bool {
	rep := e.reply
	if rep.Hang && rep.HangAt == 0 {
		return s.hold(r, nil)
	}
	if rep.Status != 0 && rep.Status != http.StatusOK && !rep.InStream {
		if rep.RetryAfter != "" {
			e.w.Header().Set("Retry-After", rep.RetryAfter)
		}
		if rep.Location != "" {
			e.w.Header().Set("Location", rep.Location)
		}
		writeJSON(e.w, rep.Status, p.failure(rep))
		return true
	}
	if !e.req.Stream {
		if rep.Gate != nil && !s.hold(r, rep.Gate) {
			return false
		}
		writeJSON(e.w, http.StatusOK, p.whole(e))
		return true
	}
	e.w.Header().Set("Content-Type", "text/event-stream")
	p.begin(e)
	for i, text := range e.pieces {
		if rep.Gate != nil && i == rep.GateAt && !s.hold(r, rep.Gate) {
			return false
		}
		if rep.Every > 0 && !s.think(r, rep.Every) {
			return false
		}
		p.piece(e, i, text)
		if rep.CutAfter == i+1 {
			panic(http.ErrAbortHandler)
		}
		if rep.Hang && rep.HangAt == i+1 {
			return s.hold(r, nil)
		}
		if r.Context().Err() != nil {
			return false
		}
	}
	if rep.InStream {
		p.inStream(e)
		return true
	}
	p.end(e)
	return true
}

// think lets time pass and reports false when the client left meanwhile.
func (s *Server) think(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-s.stop:
	}
	return false
}

// hold waits for the gate and reports false when the client left meanwhile.
func (s *Server) hold(r *http.Request, gate <-chan struct{}) bool {
	select {
	case <-gate:
		return true
	case <-r.Context().Done():
		return false
	case <-s.stop:
		return true
	}
}

func (s *Server) listModels(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ids := append([]string{}, s.models...)
	s.requests = append(s.requests, &Request{Path: r.URL.Path, Header: r.Header.Clone(), Key: keyOf(r)})
	s.mu.Unlock()
	if rep := s.pick("GET " + r.URL.Path); rep.Status != 0 {
		writeJSON(w, rep.Status, errorOf(r).failure(rep))
		return
	}
	var data, gem []map[string]any
	for _, id := range ids {
		data = append(data, map[string]any{"id": id, "object": "model", "type": "model", "display_name": id, "created": 1, "created_at": "2026-01-01T00:00:00Z", "owned_by": "llmtest", "max_input_tokens": 1000})
		gem = append(gem, map[string]any{"name": "models/" + id, "displayName": id, "inputTokenLimit": 1000})
	}
	if strings.HasPrefix(r.URL.Path, "/v1beta") {
		writeJSON(w, http.StatusOK, map[string]any{"models": gem})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data, "has_more": false})
}

func errorOf(r *http.Request) protocol {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1beta"):
		return generate{}
	case r.Header.Get("Anthropic-Version") != "":
		return messages{}
	}
	return openAI{}
}

func keyOf(r *http.Request) string {
	for _, h := range []string{"X-Api-Key", "X-Goog-Api-Key"} {
		if v := r.Header.Get(h); v != "" {
			return v
		}
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // the client may be gone
}

// sse writes one server-sent event and sends it off.
func (e *exchange) sse(event string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	e.raw(event, data)
}

func (e *exchange) raw(event string, data []byte) {
	var b bytes.Buffer
	if event != "" {
		b.WriteString("event: " + event + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	_, _ = e.w.Write(b.Bytes())
	if f, ok := e.w.(http.Flusher); ok {
		f.Flush()
	}
}
