package llmtest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/llmctl/studio/internal/llm/featurehash"
)

// DefaultDimensions are those of the server's vectors, unless the client or the test
// wants others.
const DefaultDimensions = 256

// Embeddings say how the server embeds. Rules of On hold too: their errors, waits and
// cuts, for the inputs joined by newlines, or the question and the passages.
type Embeddings struct {
	Dimensions int // 0: DefaultDimensions
	// Limits, in words; 0: none. What is beyond is refused as providers do.
	MaxInputWords   int
	MaxRequestWords int
	MaxItems        int
	// Floats answers with numbers even if base64 was asked for.
	Floats bool
	// Answer, if set, replaces the vectors, so that a server can be wrong.
	Answer func(inputs []string) [][]float32
}

// EmbedCounts are what was embedded successfully.
type EmbedCounts struct {
	Requests, Inputs, Tokens int
}

// Embed sets how the server embeds from here on.
func (s *Server) Embed(e Embeddings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.embed = e
}

// Embedded counts what was embedded so far.
func (s *Server) Embedded() EmbedCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Vector is what the server embeds a text as: near for texts that share words.
func Vector(text string, dimensions int) []float32 { return featurehash.Vector(text, dimensions) }

func (s *Server) embeddings() Embeddings {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.embed
	if e.Dimensions == 0 {
		e.Dimensions = DefaultDimensions
	}
	return e
}

// begin reads and records a request and handles the errors of its rule. It gives false
// when the answer is written or the client gone.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, p protocol, parse func(req *Request)) (*Request, Reply, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return nil, Reply{}, false
	}
	req := &Request{Protocol: p.name(), Path: r.URL.Path, Header: r.Header.Clone(), Key: keyOf(r), Body: body, gone: make(chan struct{}), done: make(chan struct{})}
	req.Model, _, _ = p.parse(r, body)
	parse(req)
	rep := s.pick(req.Prompt)
	s.record(req)
	if !s.waits(r, rep) {
		close(req.gone)
		close(req.done)
		return nil, rep, false
	}
	if rep.Status != 0 && rep.Status != http.StatusOK {
		defer close(req.done)
		if rep.RetryAfter != "" {
			w.Header().Set("Retry-After", rep.RetryAfter)
		}
		if rep.Location != "" {
			w.Header().Set("Location", rep.Location)
		}
		writeJSON(w, rep.Status, p.failure(rep))
		return nil, rep, false
	}
	return req, rep, true
}

// waits reports false when the client left meanwhile.
func (s *Server) waits(r *http.Request, rep Reply) bool {
	switch {
	case rep.Hang:
		return s.hold(r, nil)
	case rep.Gate != nil:
		return s.hold(r, rep.Gate)
	case rep.Every > 0:
		return s.think(r, rep.Every)
	}
	return true
}

func (s *Server) serveEmbed(w http.ResponseWriter, r *http.Request, p protocol) {
	how := s.embeddings()
	var ask embedAsk
	req, rep, ok := s.begin(w, r, p, func(req *Request) {
		ask = embedAskOf(p, req.Body)
		req.Inputs, req.Purpose, req.Prompt = ask.inputs, ask.purpose, strings.Join(ask.inputs, "\n")
	})
	if !ok {
		return
	}
	defer close(req.done)
	words, refused := how.count(ask.inputs)
	if refused.Status != 0 {
		writeJSON(w, refused.Status, p.failure(refused))
		return
	}
	dimensions := how.Dimensions
	if ask.dimensions > 0 {
		dimensions = ask.dimensions
	}
	vectors := make([][]float32, len(ask.inputs))
	for i, text := range ask.inputs {
		vectors[i] = Vector(text, dimensions)
	}
	if how.Answer != nil {
		vectors = how.Answer(ask.inputs)
	}
	if rep.Input == 0 {
		rep.Input = words
	}
	s.mu.Lock()
	s.counts.Requests++
	s.counts.Inputs += len(ask.inputs)
	s.counts.Tokens += rep.Input
	s.mu.Unlock()
	if p.name() == "gemini" {
		writeWhole(w, rep, geminiVectors(vectors))
		return
	}
	writeWhole(w, rep, openAIVectors(vectors, req.Model, rep.Input, ask.base64 && !how.Floats))
}

// writeWhole answers, or breaks off half-way if the rule says so.
func writeWhole(w http.ResponseWriter, rep Reply, body any) {
	if rep.CutAfter == 0 {
		writeJSON(w, http.StatusOK, body)
		return
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw[:len(raw)/2])
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

func (e Embeddings) count(inputs []string) (words int, refused Reply) {
	if e.MaxItems > 0 && len(inputs) > e.MaxItems {
		return 0, Reply{Status: http.StatusBadRequest, ErrorMessage: fmt.Sprintf("at most %d requests can be in one batch", e.MaxItems)}
	}
	for _, text := range inputs {
		n := len(strings.Fields(text))
		words += n
		if text == "" {
			return 0, Reply{Status: http.StatusBadRequest, ErrorMessage: "input cannot be an empty string"}
		}
		if e.MaxInputWords > 0 && n > e.MaxInputWords {
			return 0, ContextLength()
		}
	}
	if e.MaxRequestWords > 0 && words > e.MaxRequestWords {
		return 0, Reply{
			Status: http.StatusBadRequest, ErrorCode: "max_tokens_per_request",
			ErrorMessage: fmt.Sprintf("Requested %d tokens, max %d tokens per request", words, e.MaxRequestWords),
		}
	}
	return max(words, 1), Reply{}
}

// embedAsk is what a client wants embedded.
type embedAsk struct {
	inputs     []string
	dimensions int
	purpose    string
	base64     bool
}

func embedAskOf(p protocol, body []byte) embedAsk {
	v := decode(body)
	var out embedAsk
	if p.name() == "gemini" {
		for _, one := range list(v["requests"]) {
			out.inputs = append(out.inputs, prompt(one["content"]))
			out.purpose = text(one["taskType"])
			if d, ok := one["outputDimensionality"].(float64); ok {
				out.dimensions = int(d)
			}
		}
		return out
	}
	texts(v["input"], &out.inputs)
	if d, ok := v["dimensions"].(float64); ok {
		out.dimensions = int(d)
	}
	out.base64 = v["encoding_format"] == "base64"
	return out
}

func geminiVectors(vectors [][]float32) object {
	out := make([]object, len(vectors))
	for i, v := range vectors {
		out[i] = object{"values": v}
	}
	return object{"embeddings": out}
}

// openAIVectors answers in another order than was asked, as the protocol allows.
func openAIVectors(vectors [][]float32, model string, tokens int, encoded bool) object {
	data := make([]object, len(vectors))
	for i, v := range vectors {
		d := object{"object": "embedding", "index": i, "embedding": v}
		if encoded {
			raw := make([]byte, 4*len(v))
			for j, x := range v {
				binary.LittleEndian.PutUint32(raw[4*j:], math.Float32bits(x))
			}
			d["embedding"] = base64.StdEncoding.EncodeToString(raw)
		}
		data[len(data)-1-i] = d
	}
	return object{"object": "list", "data": data, "model": model, "usage": object{"prompt_tokens": tokens, "total_tokens": tokens}}
}

// rankDimensions are many, so that words hardly ever meet by chance.
const rankDimensions = 4096

func (s *Server) serveRerank(w http.ResponseWriter, r *http.Request) {
	var question string
	var most int
	req, rep, ok := s.begin(w, r, openAI{}, func(req *Request) {
		v := decode(req.Body)
		question = text(v["query"])
		texts(v["documents"], &req.Inputs)
		if n, ok := v["top_n"].(float64); ok {
			most = int(n)
		}
		req.Prompt = question + "\n" + strings.Join(req.Inputs, "\n")
	})
	if !ok {
		return
	}
	defer close(req.done)
	q := Vector(question, rankDimensions)
	results := make([]object, len(req.Inputs))
	for i, d := range req.Inputs {
		results[i] = object{"index": i, "relevance_score": featurehash.Cosine(q, Vector(d, rankDimensions)), "document": object{"text": d}}
	}
	// As given and not by score: a client has to sort for itself.
	if most > 0 && most < len(results) {
		results = best(results, most)
	}
	if rep.Input == 0 {
		rep.Input = len(strings.Fields(req.Prompt))
	}
	writeWhole(w, rep, object{"id": "r1", "model": req.Model, "results": results, "usage": object{"total_tokens": rep.Input}})
}

// best keeps the n results of the highest score, in the order in which they were.
func best(results []object, n int) []object {
	var out []object
	for _, r := range results {
		higher := 0
		for _, other := range results {
			if score(other) > score(r) || (score(other) == score(r) && place(other) < place(r)) {
				higher++
			}
		}
		if higher < n {
			out = append(out, r)
		}
	}
	return out
}

func score(r object) float64 {
	f, _ := r["relevance_score"].(float64)
	return f
}

func place(r object) int {
	i, _ := r["index"].(int)
	return i
}
