package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

// attempt is one attempt of one turn.
type attempt struct {
	w    *Worker
	turn Turn
	log  *slog.Logger

	thread   Thread
	settings Settings
	model    Model
	budget   budget
	ratio    float64
	conv     conversation
	passages []MessageCitation
	lead     []MessagePart
	view     ContextView
	writing  *writing
	state    json.RawMessage
	asked    int // estimated tokens of the question, without the ratio
	spent    llm.Usage
	guessed  bool
	refused  bool // the provider answered with an error before it said anything
	answer   Answer
}

// work does it, and settles the turn. It gives the attempt's last state; empty when
// this worker did not end it.
func (a *attempt) work(ctx context.Context, cancel context.CancelCauseFunc) string {
	limited, stop := context.WithTimeoutCause(ctx, time.Duration(a.turn.DeadlineSeconds*float64(time.Second)), errTimeout)
	defer stop()
	a.writing = newWriting(a.turn, cancel)
	defer a.writing.close()
	err := a.run(limited)
	if cause := context.Cause(limited); cause != nil && err != nil {
		err = cause // what stopped it, not what that looked like from inside
	}
	return a.end(ctx, err)
}

// run fills the window and asks the model.
func (a *attempt) run(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	if err := a.retrieve(ctx); err != nil {
		return err
	}
	if err := a.makeRoom(ctx); err != nil {
		return err
	}
	for try := 0; ; try++ {
		err := a.ask(ctx)
		if !a.tooLong(err) || try == maxSqueezes {
			return err
		}
		// The provider counts more than we do: count more as well, and fold.
		a.ratio = min(a.ratio*1.4, highestRatio)
		if err := a.makeRoom(ctx); err != nil {
			return err
		}
	}
}

// maxSqueezes bounds how often a window is filled anew for one answer.
const maxSqueezes = 3

// tooLong tells whether a provider refused the question for its length, before it
// said anything.
func (a *attempt) tooLong(err error) bool {
	e, ok := errors.AsType[*llm.Error](err)
	text, placed, _ := a.writing.whole()
	return ok && e.Kind == llm.KindContextLength && text == "" && len(placed) == 0
}

func (a *attempt) load(ctx context.Context) error {
	s := a.w.s
	cp, err := decodeCheckpoint(a.turn.Checkpoint)
	if err != nil {
		return err
	}
	a.state, a.lead = cp.State, cp.Lead
	a.repeat(cp)
	return s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		if a.thread, err = s.q.GetThread(ctx, tx, a.turn.ThreadID); err != nil {
			return fmt.Errorf("load thread %d: %w", a.turn.ThreadID, err)
		}
		if a.settings, _, err = LoadSettings(ctx, tx); err != nil {
			return err
		}
		if a.model, err = s.resolve(ctx, tx, &a.thread, &a.settings); err != nil {
			if errs.Is(err, errs.Invalid) {
				return fail(CodeNoModel, errs.As(err).Message, err)
			}
			return err
		}
		if a.ratio, err = s.ratio(ctx, tx, a.model.ID); err != nil {
			return err
		}
		a.budget = divide(&a.model, &a.settings, a.turn.ResponseComplexity)
		user, err := s.message(ctx, tx, a.turn.UserMessageID)
		if err != nil {
			return err
		}
		a.conv, err = s.converse(ctx, tx, user)
		return err
	})
}

// repeat says again what a turn said before it waited, so that this attempt's text is
// whole.
func (a *attempt) repeat(cp checkpoint) {
	text := cp.Text
	at := int64(0)
	for _, p := range cp.Parts {
		var before string
		before, text = cut(text, p.Offset-at)
		at = p.Offset
		a.say(Said{Text: before})
		a.say(Said{Part: &p.Part})
	}
	a.say(Said{Text: text})
}

func (a *attempt) say(p Said) bool {
	if p.Text == "" && p.Part == nil {
		return true
	}
	ok := a.writing.say(p, a.w.s.o.Now())
	a.w.o.Recorder.Touch(a.writing)
	return ok
}

// retrieve finds passages for the message, if the thread has sources.
func (a *attempt) retrieve(ctx context.Context) error {
	if len(a.thread.SourceIds) == 0 || a.turn.Checkpoint != nil {
		return nil
	}
	if err := a.w.s.enter(ctx, &a.turn, PhaseRetrieving, nil, &a.model); err != nil {
		return err
	}
	found, err := a.w.o.Retrieve.Retrieve(ctx, &a.turn, a.thread.SourceIds, a.conv.user.Content, a.settings.RetrievalTopK)
	if errs.Is(err, errs.Unavailable) {
		return fail(CodeRAGUnavailable, "The sources of this thread cannot be asked now: "+errs.As(err).Message, err)
	}
	if err != nil {
		return fail(CodeRAGFailed, "Looking into the sources of this thread failed. The worker's log says why.", err)
	}
	var used int
	a.passages, used = fit(found, a.budget.parts.Retrieval, a.ratio)
	a.view.Used.Retrieval = used
	for i := range a.passages {
		a.lead = append(a.lead, MessagePart{Type: PartCitation, Citation: &a.passages[i]})
	}
	return a.noteRetrieval(ctx)
}

func (a *attempt) noteRetrieval(ctx context.Context) error {
	return a.w.s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		return a.w.s.note(ctx, tx, &a.thread, deed{
			class: classTools, action: "retrieval_used", turnID: &a.turn.ID,
			by:     Origin{UserID: a.turn.AppUserID, RequestID: a.turn.RequestID, CorrelationID: a.turn.CorrelationID},
			detail: map[string]any{"source_ids": a.thread.SourceIds, "passages": len(a.passages), "tokens": a.view.Used.Retrieval},
		})
	})
}

// makeRoom folds older messages if the window's share is full.
func (a *attempt) makeRoom(ctx context.Context) error {
	if message := scaled(costOf(&a.conv.user), a.ratio); message >= a.budget.trigger {
		return fail(CodeContextExceeded, fmt.Sprintf(
			"The message has about %d tokens; of the window of %s (%d tokens) %d are for the conversation. Shorten it, or choose a model with a larger window.",
			message, a.model.Name, a.budget.window, a.budget.parts.History), nil)
	}
	if !a.conv.over(&a.budget, a.ratio) {
		return nil
	}
	if err := a.w.s.enter(ctx, &a.turn, PhaseCompacting, nil, &a.model); err != nil {
		return err
	}
	f := &folding{s: a.w.s, answer: a.w.o.Answerer, turn: &a.turn, model: a.model, set: &a.settings, budget: a.budget, ratio: a.ratio}
	part, err := f.fold(ctx, &a.conv)
	a.spent, a.guessed = plus(a.spent, f.usage), a.guessed || f.guessed
	if err != nil {
		return err
	}
	if part != nil {
		a.lead = append(a.lead, MessagePart{Type: PartCompaction, Compaction: part})
	}
	return nil
}

// ask puts the question and passes on the answer.
func (a *attempt) ask(ctx context.Context) error {
	q, err := a.question(ctx)
	if err != nil {
		return err
	}
	if err := a.w.s.enter(ctx, &a.turn, PhaseAnswering, &a.view, &a.model); err != nil {
		return err
	}
	if !a.w.o.Fresh() {
		return errHandOver
	}
	a.answer, err = a.w.o.Answerer.Answer(ctx, q, func(p Said) error {
		if !a.say(p) {
			return errTooLong
		}
		return nil
	})
	if errors.Is(err, errTooLong) {
		return fail(CodeModelFailed, fmt.Sprintf("The answer is longer than %d MiB and was cut there.", maxAnswer>>20), err)
	}
	return err
}

var errTooLong = errors.New("the answer is too long")

// question makes the request, and the view of what it fills the window with.
func (a *attempt) question(ctx context.Context) (Question, error) {
	s := a.w.s
	sys := system(a.turn.ResponseComplexity, a.conv.summary(), a.passages)
	retrieval := a.view.Used.Retrieval
	a.view = a.budget.view(&a.model, a.ratio)
	a.view.Used = a.conv.use(systemOf(a.turn.ResponseComplexity), a.ratio)
	a.view.Used.Retrieval = retrieval
	a.view.Used.Total += retrieval
	a.view.Messages, a.view.Folded, a.view.Dropped = len(a.conv.history)+1, a.conv.foldedCount(), a.conv.left
	a.asked = int(float64(a.view.Used.Total) / a.ratio)
	q := Question{
		ThreadID: a.turn.ThreadID, TurnID: a.turn.ID, Attempt: a.turn.Attempt, Model: a.model, System: sys, MCPServerIDs: a.thread.McpServerIds,
		ToolTokens: int(float64(a.budget.parts.Tools) / a.ratio), State: a.state,
	}
	if len(a.model.Config) > 0 {
		if err := json.Unmarshal(a.model.Config, &q.Params); err != nil {
			return q, fail(CodeModelFailed, fmt.Sprintf("The settings of the model %s cannot be read: %v.", a.model.Name, err), err)
		}
	}
	q.Params.MaxTokens = a.budget.answer
	images := takesImages(&a.model)
	for _, m := range append(slices.Clip(a.conv.history), a.conv.user) {
		said, err := s.said(ctx, s.o.DB, &m, images)
		if err != nil {
			return q, err
		}
		q.Messages = append(q.Messages, said...)
	}
	return q, nil
}

// outcome tells how the attempt ended, from what its work returned.
func (a *attempt) outcome(ctx context.Context, err error) outcome {
	o := outcome{finish: a.answer.Finish, lead: a.lead}
	o.text, o.parts, o.firstToken = a.writing.whole()
	a.refused = refused(err, &a.answer)
	o.usage, o.estimated = a.usage(o)
	if a.view.WindowTokens > 0 {
		a.view.Used.Tools = scaled(a.answer.ToolTokens, a.ratio)
		a.view.Used.Total += a.view.Used.Tools
		o.context = &a.view
	}
	suspended, waits := errors.AsType[*SuspendedError](err)
	switch {
	case err == nil:
		o.status = attemptSucceeded
	case errors.Is(err, errStale):
		o.status = ""
	case errors.Is(err, errCancel):
		o.status = attemptCancelled
	case errors.Is(err, errTimeout):
		o.status = attemptFailed
		o.failure = &TurnError{Code: CodeTimeout, Message: fmt.Sprintf(
			"The answer took longer than %.0f s, which is the limit of the settings. What came until then is kept.", a.turn.DeadlineSeconds), Retryable: true}
	case errors.Is(err, errHandOver), ctx.Err() != nil:
		o.status = attemptHandedOver
	case waits:
		o.status, o.checkpoint = attemptSuspended, suspended.State
	default:
		o.status, o.failure, o.retryIn = attemptFailed, failureOf(err), worthWaiting(err, &a.answer)
		a.log.WarnContext(ctx, "turn failed", "code", o.failure.Code, "error", err)
	}
	return o
}

// usage is what the provider counted, and where it did not, what was sent and came.
func (a *attempt) usage(o outcome) (llm.Usage, bool) {
	u, guessed := a.answer.Usage, a.answer.Estimated
	if u == (llm.Usage{}) && a.asked > 0 && !a.refused {
		guessed = true
		u = llm.Usage{InputTokens: int64(scaled(a.asked, a.ratio)), OutputTokens: int64(scaled(partTokens(assemble(o.text, o.parts)), a.ratio))}
	} else if !guessed && u.InputTokens > 0 && a.asked > 0 && a.answer.Calls <= 1 {
		a.view.Measured = new(u.InputTokens)
	}
	return plus(u, a.spent), guessed || a.guessed
}

// lesson is what the provider's count says about the estimate; only of a single call,
// since others hold what tools gave.
func (a *attempt) lesson() *learned {
	if a.view.Measured == nil || a.answer.Calls > 1 || len(a.thread.McpServerIds) > 0 {
		return nil
	}
	return &learned{before: a.ratio, after: learn(a.ratio, a.asked, a.answer.Usage.InputTokens)}
}

// end settles the turn. It tries until the database takes it, or others have: a turn
// that stays with a living worker would be taken up by nobody.
func (a *attempt) end(ctx context.Context, err error) string {
	o := a.outcome(ctx, err)
	if o.status == "" {
		a.log.InfoContext(ctx, "the turn went to another attempt")
		return ""
	}
	o.learned = a.lesson()
	rest, some := a.writing.takeLast()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		serr := a.w.s.finish(try, a.turn.ThreadID, a.turn.ID, a.turn.Attempt, a.turn.WorkerProcessID, o, func(tx *postgres.Tx) error {
			if !some {
				return nil
			}
			return a.w.o.Recorder.append(tx, rest)
		})
		cancel()
		if serr == nil {
			return o.status
		}
		if errors.Is(serr, errSettled) {
			a.log.InfoContext(ctx, "the turn went to another attempt")
			return ""
		}
		a.log.WarnContext(ctx, "end of a turn not stored", "error", serr)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-hardStop(ctx):
			timer.Stop()
			return "" // this process ends, and with it its hold on the turn
		}
	}
}

// hardStop ends with the process, not with the attempt's own orders.
func hardStop(ctx context.Context) <-chan struct{} {
	cause := context.Cause(ctx)
	if errors.Is(cause, errCancel) || errors.Is(cause, errHandOver) {
		return nil
	}
	return ctx.Done()
}
