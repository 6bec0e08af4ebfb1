package rag

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/rag/retrieve"
)

// Asker answers questions; see package retrieve.
type Asker interface {
	Ask(ctx context.Context, by retrieve.Origin, q retrieve.Question) (retrieve.Answer, error)
}

// Query asks sources and has a model answer from what was found.
type Query struct{ ask Asker }

// NewQuery makes the part of the handler that asks.
func NewQuery(ask Asker) *Query { return &Query{ask} }

// question is the config of a node that asks; the question's template is rendered.
type question struct {
	SourceIDs []int64 `json:"source_ids"`
	Question  string  `json:"question"`
	TopK      int     `json:"top_k"`
	ModelID   int64   `json:"model_id"`
}

// Output is the output state of a node that asks.
type Output struct {
	Answer           string               `json:"answer"`
	RetrievalContext []Passage            `json:"retrieval_context"`
	RetrievalStats   retrieve.QueryStats  `json:"retrieval_stats"`
	Mode             string               `json:"mode"`
	SynthesisError   *retrieve.Unanswered `json:"synthesis_error,omitempty"` // why there is no answer
}

// Passage is what was found; an answer refers to it by its number.
type Passage struct {
	Number     int     `json:"number"`
	SourceID   int64   `json:"source_id"`
	SourceName string  `json:"source_name"`
	Path       string  `json:"path"`
	Position   string  `json:"position"`
	Text       string  `json:"text"`
	Score      float64 `json:"score"`
}

// Run implements Querier. Without an answer, but with passages, the node is degraded:
// what follows may do with them.
func (q *Query) Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result {
	var c question
	if err := json.Unmarshal(in.Config, &c); err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The settings of this node cannot be read: %v.", err)
	}
	stages := executor.NewStages(sink)
	if err := stages.Enter(executor.StageLLMQuery); err != nil {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	id := in.NodeRunID
	a, err := q.ask.Ask(ctx, retrieve.Origin{Kind: "node", ID: &id}, retrieve.Question{
		Question: c.Question, SourceIDs: c.SourceIDs, TopK: c.TopK, Synthesize: true, ModelID: c.ModelID,
	})
	if err != nil {
		e := errs.As(err)
		stages.Fail(e.Message)
		return executor.Failure("retrieval", e.Message, e.Code != errs.Invalid && e.Code != errs.NotFound).WithDetails(map[string]any{"reason": e.Reason})
	}
	out := outputOf(&a)
	if err := stages.Log(told(&a)); err != nil {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	if err := stages.Finish(); err != nil {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	res := executor.Success(out)
	// That no model is set is a choice; that the chosen one fails is not.
	if f := a.SynthesisError; f != nil && f.Code != retrieve.CodeNoModel && f.Code != retrieve.CodeNothingFound {
		res.Status = executor.Degraded
	}
	if a.Usage.InputTokens+a.Usage.OutputTokens > 0 {
		res.Usage = &executor.Usage{InputTokens: a.Usage.InputTokens, OutputTokens: a.Usage.OutputTokens}
	}
	return res
}

func outputOf(a *retrieve.Answer) Output {
	out := Output{Answer: a.Answer, RetrievalContext: make([]Passage, len(a.Results)), RetrievalStats: a.Stats, Mode: modeQuery, SynthesisError: a.SynthesisError}
	for i := range a.Results {
		r := &a.Results[i]
		out.RetrievalContext[i] = Passage{
			Number: i + 1, SourceID: r.SourceID, SourceName: r.SourceName, Path: r.Path, Position: retrieve.Place(r.Position), Text: r.Text, Score: r.Score,
		}
	}
	return out
}

// told says in the log what was found.
func told(a *retrieve.Answer) string {
	lines := append([]string{fmt.Sprintf("%d passages found (%s, %.0f ms).", len(a.Results), a.Stats.Mode, a.Stats.TotalMS)}, a.Stats.Warnings...)
	if f := a.SynthesisError; f != nil {
		lines = append(lines, "There is no answer in words: "+f.Message)
	}
	return executor.CleanText(strings.Join(lines, "\n"))
}
