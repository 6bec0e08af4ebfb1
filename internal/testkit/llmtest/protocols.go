package llmtest

import (
	"encoding/json"
	"net/http"
	"strings"
)

type object = map[string]any

// texts collects every string under "text" and "content" keys, and plain strings in
// lists of those, in the order of the document's messages.
func texts(v any, out *[]string) {
	switch v := v.(type) {
	case string:
		*out = append(*out, v)
	case []any:
		for _, e := range v {
			texts(e, out)
		}
	case object:
		for _, k := range []string{"text", "content", "parts"} {
			if sub, ok := v[k]; ok {
				texts(sub, out)
			}
		}
	}
}

func prompt(parts ...any) string {
	var out []string
	for _, p := range parts {
		texts(p, &out)
	}
	return strings.Join(out, "\n")
}

func decode(body []byte) object {
	var v object
	_ = json.Unmarshal(body, &v)
	return v
}

// openAI is the chat completions protocol.
type openAI struct{}

func (openAI) name() string { return "openai" }

func (openAI) parse(_ *http.Request, body []byte) (model, text string, stream bool) {
	v := decode(body)
	model, _ = v["model"].(string)
	stream, _ = v["stream"].(bool)
	return model, prompt(v["messages"]), stream
}

func (openAI) chunk(e *exchange, delta object, finish any) {
	e.sse("", object{"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": e.reply.Model, "choices": []object{{"index": 0, "delta": delta, "finish_reason": finish}}})
}

func (p openAI) begin(e *exchange) { p.chunk(e, object{"role": "assistant", "content": ""}, nil) }

func (p openAI) piece(e *exchange, _ int, text string) { p.chunk(e, object{"content": text}, nil) }

func (p openAI) end(e *exchange) {
	for i, c := range e.reply.ToolCalls {
		p.chunk(e, object{"tool_calls": []object{{"index": i, "id": c.ID, "type": "function", "function": object{"name": c.Name, "arguments": ""}}}}, nil)
		half := len(c.Arguments) / 2
		for _, part := range []string{c.Arguments[:half], c.Arguments[half:]} {
			p.chunk(e, object{"tool_calls": []object{{"index": i, "function": object{"arguments": part}}}}, nil)
		}
	}
	p.chunk(e, object{}, e.reply.Finish)
	if o, ok := decode(e.req.Body)["stream_options"].(object); ok && o["include_usage"] == true {
		e.sse("", object{"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": e.reply.Model, "choices": []object{}, "usage": p.usage(e)})
	}
	e.raw("", []byte("[DONE]"))
}

func (openAI) usage(e *exchange) object {
	r := e.reply
	return object{"prompt_tokens": r.Input, "completion_tokens": r.Output, "total_tokens": r.Input + r.Output, "prompt_tokens_details": object{"cached_tokens": r.Cached}}
}

func (p openAI) whole(e *exchange) any {
	msg := object{"role": "assistant", "content": strings.Join(e.pieces, "")}
	var calls []object
	for _, c := range e.reply.ToolCalls {
		calls = append(calls, object{"id": c.ID, "type": "function", "function": object{"name": c.Name, "arguments": c.Arguments}})
	}
	if calls != nil {
		msg["tool_calls"] = calls
	}
	return object{"id": "c1", "object": "chat.completion", "created": 1, "model": e.reply.Model, "usage": p.usage(e), "choices": []object{{"index": 0, "message": msg, "finish_reason": e.reply.Finish}}}
}

func (openAI) failure(r Reply) any {
	return object{"error": object{"message": r.ErrorMessage, "type": "error", "code": r.ErrorCode, "param": nil}}
}

func (p openAI) inStream(e *exchange) {
	body, _ := p.failure(e.reply).(object)
	if e.reply.Status == http.StatusTooManyRequests {
		body["error"] = object{"message": e.reply.ErrorMessage, "type": "rate_limit_error", "code": "rate_limit_exceeded"}
	}
	e.sse("", body)
}

// messages is Anthropic's protocol.
type messages struct{}

func (messages) name() string { return "anthropic" }

func (messages) parse(_ *http.Request, body []byte) (model, text string, stream bool) {
	v := decode(body)
	model, _ = v["model"].(string)
	stream, _ = v["stream"].(bool)
	return model, prompt(v["system"], v["messages"]), stream
}

func (messages) usage(e *exchange) object {
	return object{"input_tokens": e.reply.Input - e.reply.Cached, "cache_read_input_tokens": e.reply.Cached, "cache_creation_input_tokens": 0, "output_tokens": 1}
}

func (p messages) begin(e *exchange) {
	e.sse("message_start", object{"type": "message_start", "message": object{"id": "m1", "type": "message", "role": "assistant", "model": e.reply.Model, "content": []any{}, "stop_reason": nil, "usage": p.usage(e)}})
	e.sse("ping", object{"type": "ping"})
	if len(e.pieces) > 0 {
		e.sse("content_block_start", object{"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""}})
	}
}

func (messages) piece(e *exchange, _ int, text string) {
	e.sse("content_block_delta", object{"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": text}})
}

func (messages) end(e *exchange) {
	next := 0
	if len(e.pieces) > 0 {
		e.sse("content_block_stop", object{"type": "content_block_stop", "index": 0})
		next = 1
	}
	for i, c := range e.reply.ToolCalls {
		at := next + i
		e.sse("content_block_start", object{"type": "content_block_start", "index": at, "content_block": object{"type": "tool_use", "id": c.ID, "name": c.Name, "input": object{}}})
		half := len(c.Arguments) / 2
		for _, part := range []string{c.Arguments[:half], c.Arguments[half:]} {
			e.sse("content_block_delta", object{"type": "content_block_delta", "index": at, "delta": object{"type": "input_json_delta", "partial_json": part}})
		}
		e.sse("content_block_stop", object{"type": "content_block_stop", "index": at})
	}
	e.sse("message_delta", object{"type": "message_delta", "delta": object{"stop_reason": anthropicStop(e.reply.Finish)}, "usage": object{"output_tokens": e.reply.Output}})
	e.sse("message_stop", object{"type": "message_stop"})
}

func anthropicStop(finish string) string {
	switch finish {
	case "length":
		return "max_tokens"
	case "tool_calls":
		return "tool_use"
	case "content_filter":
		return "refusal"
	}
	return "end_turn"
}

func (p messages) whole(e *exchange) any {
	u := p.usage(e)
	u["output_tokens"] = e.reply.Output
	content := []object{{"type": "text", "text": strings.Join(e.pieces, "")}}
	for _, c := range e.reply.ToolCalls {
		content = append(content, object{"type": "tool_use", "id": c.ID, "name": c.Name, "input": json.RawMessage(c.Arguments)})
	}
	return object{"id": "m1", "type": "message", "role": "assistant", "model": e.reply.Model, "content": content, "stop_reason": anthropicStop(e.reply.Finish), "usage": u}
}

func (messages) failure(r Reply) any {
	kinds := map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
	kind := kinds[r.Status]
	if kind == "" {
		kind = "api_error"
	}
	return object{"type": "error", "error": object{"type": kind, "message": r.ErrorMessage}}
}

func (p messages) inStream(e *exchange) { e.sse("error", p.failure(e.reply)) }

// generate is Gemini's protocol.
type generate struct{}

func (generate) name() string { return "gemini" }

func (generate) parse(r *http.Request, body []byte) (model, text string, stream bool) {
	v := decode(body)
	model, method, _ := strings.Cut(r.PathValue("call"), ":")
	return model, prompt(v["systemInstruction"], v["contents"]), method == "streamGenerateContent"
}

func (generate) chunk(e *exchange, parts []object, finish string) object {
	cand := object{"index": 0, "content": object{"role": "model", "parts": parts}}
	out := object{"candidates": []object{cand}, "modelVersion": e.reply.Model}
	if finish != "" {
		cand["finishReason"] = finish
		out["usageMetadata"] = object{"promptTokenCount": e.reply.Input, "candidatesTokenCount": e.reply.Output, "cachedContentTokenCount": e.reply.Cached, "totalTokenCount": e.reply.Input + e.reply.Output}
	}
	return out
}

func (p generate) begin(e *exchange) { e.sse("", p.chunk(e, []object{}, "")) }

func (p generate) piece(e *exchange, _ int, text string) {
	e.sse("", p.chunk(e, []object{{"text": text}}, ""))
}

func (p generate) calls(e *exchange) []object {
	parts := []object{}
	for _, c := range e.reply.ToolCalls {
		parts = append(parts, object{"functionCall": object{"id": c.ID, "name": c.Name, "args": json.RawMessage(c.Arguments)}})
	}
	return parts
}

func (p generate) end(e *exchange) { e.sse("", p.chunk(e, p.calls(e), geminiFinish(e.reply.Finish))) }

func geminiFinish(finish string) string {
	switch finish {
	case "length":
		return "MAX_TOKENS"
	case "content_filter":
		return "SAFETY"
	}
	return "STOP"
}

func (p generate) whole(e *exchange) any {
	return p.chunk(e, append([]object{{"text": strings.Join(e.pieces, "")}}, p.calls(e)...), geminiFinish(e.reply.Finish))
}

func (generate) failure(r Reply) any {
	words := map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
	return object{"error": object{"code": r.Status, "message": r.ErrorMessage, "status": words[r.Status]}}
}

func (p generate) inStream(e *exchange) { e.sse("", p.failure(e.reply)) }
