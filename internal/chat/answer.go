package chat

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
)

// Question is a conversation whose last message is to be answered.
type Question struct {
	ThreadID, TurnID int64
	Attempt          int32
	Model            Model
	System           string
	Messages         []llm.Message
	Params           llm.Params
	MCPServerIDs     []int64
	// ToolTokens is what schemas and results of tools may take of the window, by
	// Estimate.
	ToolTokens int
	// Aside is a question beside the conversation: it has no tools, and nothing of it is
	// part of the turn's answer.
	Aside bool
	// State is what a SuspendedError gave, of a turn that waited.
	State json.RawMessage
}

// Said is a piece of an answer: text, or a part that stands between it.
type Said struct {
	Text string
	Part *MessagePart
}

// Answer is how an answer ended. Usage is of all calls of the model together.
type Answer struct {
	Finish    llm.FinishReason
	Usage     llm.Usage
	Begun     bool // the last call of the model said something; of one that failed
	Estimated bool // Usage is not, or not all, the provider's count
	Calls     int  // of the model; 0 counts as 1
	// ToolTokens is what schemas and results of tools took of the window, by Estimate.
	ToolTokens int
}

// Answerer asks a model and passes on what it says, as it says it. It may call tools
// in between. With an error the Answer holds what is known of the usage.
//
// Errors: *llm.Error, *SuspendedError when the turn is to wait, *ToolError when tools that
// were chosen cannot be used at all; what emit returned, as it is.
type Answerer interface {
	Answer(ctx context.Context, q Question, emit func(Said) error) (Answer, error)
}

// SuspendedError makes a turn wait as a row, until somebody resumes it.
type SuspendedError struct{ State json.RawMessage }

// Error says so.
func (*SuspendedError) Error() string { return "the turn waits" }

// ToolError is why chosen tools cannot be used. Message is for users.
type ToolError struct {
	Message string
	Cause   error
}

// Error gives the message.
func (e *ToolError) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *ToolError) Unwrap() error { return e.Cause }

// Retriever finds passages of sources. Errors: unavailable when the sources cannot be
// asked now.
type Retriever interface {
	Retrieve(ctx context.Context, turn *Turn, sourceIDs []int64, question string, topK int) ([]MessageCitation, error)
}

// noRetriever is there while sources are not: a thread cannot have any then.
type noRetriever struct{}

// Retrieve implements Retriever.
func (noRetriever) Retrieve(context.Context, *Turn, []int64, string, int) ([]MessageCitation, error) {
	return nil, errs.E(errs.Unavailable, "rag.not_available", "Sources are not available in this installation.")
}

// Direct answers with one call of a provider, without tools.
type Direct struct {
	// Open gives the provider of a model.
	Open func(ctx context.Context, modelID int64) (llm.Provider, error)
}

// Answer implements Answerer.
func (d Direct) Answer(ctx context.Context, q Question, emit func(Said) error) (Answer, error) {
	if len(q.MCPServerIDs) > 0 {
		return Answer{}, &ToolError{Message: "The MCP servers of this thread cannot be used here. Remove them from the thread."}
	}
	provider, err := d.Open(ctx, q.Model.ID)
	if err != nil {
		return Answer{}, err
	}
	res, err := provider.Chat(ctx, llm.Request{Model: q.Model.Model, System: q.System, Messages: q.Messages, Params: q.Params}, func(delta llm.Delta) error {
		if delta.Text == "" {
			return nil
		}
		return emit(Said{Text: delta.Text})
	})
	return Answer{Finish: res.Finish, Begun: res.Text != "", Usage: res.Usage, Estimated: res.Usage == llm.Usage{}}, err
}

// failureOf tells users why an attempt failed.
func failureOf(err error) *TurnError {
	if f, ok := errors.AsType[*turnFailureError](err); ok {
		return &f.TurnError
	}
	if e, ok := errors.AsType[*ToolError](err); ok {
		return &TurnError{Code: CodeMCPFailed, Message: e.Message}
	}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		code := CodeModelFailed
		if e.Kind == llm.KindContextLength {
			code = CodeContextExceeded
		}
		return &TurnError{Code: code, Message: e.Message, Retryable: e.Retryable()}
	}
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Code != errs.Internal {
		return &TurnError{Code: CodeModelFailed, Message: e.Message}
	}
	return &TurnError{Code: CodeModelFailed, Message: "Something went wrong on our side. The worker's log says what.", Retryable: true}
}

// turnFailureError is a TurnError on its way.
type turnFailureError struct {
	TurnError
	cause error
}

// Error gives code and message.
func (f *turnFailureError) Error() string { return f.Code + ": " + f.Message }

// Unwrap gives the cause.
func (f *turnFailureError) Unwrap() error { return f.cause }

func fail(code, message string, cause error) error {
	return &turnFailureError{TurnError: TurnError{Code: code, Message: message}, cause: cause}
}
