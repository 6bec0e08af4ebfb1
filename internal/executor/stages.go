package executor

// The stage keys of a node, in their order.
const (
	StageIntegration = "integration"
	StagePreInit     = "pre_init"
	StageInit        = "init"
	StagePostInit    = "post_init"
	StageLLMQuery    = "llm_query"
	StagePostRun     = "post_run"
)

// The statuses of a stage event, and the stream of messages by the Studio itself.
const (
	StageStarted  = "started"
	StageFinished = "finished"
	StageFailed   = "failed"
	StreamSystem  = "system"
	StreamStdout  = "stdout"
	StreamStderr  = "stderr"
)

// Stages reports the stages of one attempt, one at a time. It is for one goroutine.
type Stages struct {
	sink    Sink
	current string
}

// NewStages makes a reporter that emits to sink.
func NewStages(sink Sink) *Stages { return &Stages{sink: sink} }

// Enter finishes the current stage and starts the next.
func (s *Stages) Enter(stage string) error {
	if err := s.leave(StageFinished); err != nil {
		return err
	}
	s.current = stage
	return s.sink(Event{Type: EventStage, Stage: stage, Status: StageStarted})
}

// Log writes a line to the current stage.
func (s *Stages) Log(text string) error {
	return s.sink(Event{Type: EventLog, Stage: s.current, Stream: StreamSystem, Text: text})
}

// Finish finishes the current stage.
func (s *Stages) Finish() error { return s.leave(StageFinished) }

// Fail logs why the current stage failed and ends it. The error of the sink is
// dropped: the attempt is failing already, and a broken sink ends it anyway.
func (s *Stages) Fail(why string) {
	if s.current == "" {
		return
	}
	_ = s.Log(why)
	_ = s.leave(StageFailed)
}

func (s *Stages) leave(status string) error {
	if s.current == "" {
		return nil
	}
	stage := s.current
	s.current = ""
	return s.sink(Event{Type: EventStage, Stage: stage, Status: status})
}
