package llmtest

import "fmt"

// ToolResult is what a client told the model of a call.
type ToolResult struct {
	CallID, Name, Content string
	IsError               bool
}

// toolsOf reads tools and results of calls from a request. faulty says what a
// provider would refuse: calls whose results do not follow where they have to.
func toolsOf(protocol string, body []byte) (names []string, results []ToolResult, faulty string) {
	v := decode(body)
	switch protocol {
	case "openai":
		for _, t := range list(v["tools"]) {
			f, _ := t["function"].(object)
			names = append(names, text(f["name"]))
		}
		results, faulty = openAIResults(list(v["messages"]))
	case "anthropic":
		for _, t := range list(v["tools"]) {
			names = append(names, text(t["name"]))
		}
		results, faulty = anthropicResults(list(v["messages"]))
	case "gemini":
		for _, t := range list(v["tools"]) {
			for _, f := range list(t["functionDeclarations"]) {
				names = append(names, text(f["name"]))
			}
		}
		results, faulty = geminiResults(list(v["contents"]))
	}
	return names, results, faulty
}

func list(v any) []object {
	items, _ := v.([]any)
	out := make([]object, 0, len(items))
	for _, i := range items {
		if m, ok := i.(object); ok {
			out = append(out, m)
		}
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func openAIResults(messages []object) (out []ToolResult, faulty string) {
	open := map[string]string{}
	for _, m := range messages {
		if m["role"] == "tool" {
			id := text(m["tool_call_id"])
			name, ok := open[id]
			if !ok {
				return out, fmt.Sprintf("messages with role 'tool' must be a response to a preceding message with 'tool_calls': %q", id)
			}
			delete(open, id)
			out = append(out, ToolResult{CallID: id, Name: name, Content: prompt(m["content"])})
			continue
		}
		if len(open) > 0 {
			return out, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
		}
		for _, c := range list(m["tool_calls"]) {
			f, _ := c["function"].(object)
			open[text(c["id"])] = text(f["name"])
		}
	}
	if len(open) > 0 {
		return out, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
	}
	return out, ""
}

func anthropicResults(messages []object) (out []ToolResult, faulty string) {
	open := map[string]string{}
	for _, m := range messages {
		for _, b := range list(m["content"]) {
			if b["type"] == "tool_result" {
				id := text(b["tool_use_id"])
				isError, _ := b["is_error"].(bool)
				out = append(out, ToolResult{CallID: id, Name: open[id], Content: prompt(b["content"]), IsError: isError})
				if _, ok := open[id]; !ok {
					return out, "unexpected tool_use_id found in tool_result blocks: " + id
				}
				delete(open, id)
			}
		}
		if len(open) > 0 {
			return out, "tool_use ids were found without tool_result blocks immediately after"
		}
		for _, b := range list(m["content"]) {
			if b["type"] == "tool_use" {
				open[text(b["id"])] = text(b["name"])
			}
		}
	}
	if len(open) > 0 {
		return out, "tool_use ids were found without tool_result blocks immediately after"
	}
	return out, ""
}

func geminiResults(contents []object) (out []ToolResult, faulty string) {
	asked := 0
	for _, c := range contents {
		calls, answers := 0, 0
		for _, p := range list(c["parts"]) {
			if _, ok := p["functionCall"].(object); ok {
				calls++
			}
			f, ok := p["functionResponse"].(object)
			if !ok {
				continue
			}
			answers++
			said, _ := f["response"].(object)
			r := ToolResult{CallID: text(f["id"]), Name: text(f["name"]), Content: text(said["output"])}
			if e, ok := said["error"]; ok {
				r.Content, r.IsError = text(e), true
			}
			out = append(out, r)
		}
		if answers != asked {
			return out, "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
		}
		asked = calls
	}
	return out, ""
}
