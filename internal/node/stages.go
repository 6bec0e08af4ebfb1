package node

import (
	"encoding/json"
	"fmt"
	"time"
)

// Stage keys of contracts §5, in order.
const (
	StageIntegration = "integration"
	StagePreInit     = "pre_init"
	StageInit        = "init"
	StagePostInit    = "post_init"
	StageLLMQuery    = "llm_query"
	StagePostRun     = "post_run"
)

// Stage is one stage of an attempt as stored.
type Stage struct {
	Key        string     `json:"key"`
	Status     string     `json:"status"` // running, succeeded, failed, skipped
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	LogLines   int        `json:"log_lines"`
}

// StageView is a stage as the API shows it: with its label, and present whether
// or not the attempt came to it.
type StageView struct {
	Key        string     `json:"key"`
	Label      string     `json:"label"`
	Status     string     `json:"status"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	LogLines   int        `json:"log_lines"`
}

// StageKeys lists the stages in order.
func StageKeys() []string {
	return []string{StageIntegration, StagePreInit, StageInit, StagePostInit, StageLLMQuery, StagePostRun}
}

// Label names a stage; only the label of llm_query depends on the execution
// mode, and only for retrieval runs.
func Label(key string, mode *string) string {
	switch key {
	case StageIntegration:
		return "Integration"
	case StagePreInit:
		return "Pre Init"
	case StageInit:
		return "Init"
	case StagePostInit:
		return "Post Init"
	case StagePostRun:
		return "Post Run"
	}
	if mode != nil {
		switch *mode {
		case "indexing":
			return "RAG Indexing"
		case "delta_indexing":
			return "RAG Delta Indexing"
		}
	}
	return "LLM Query"
}

// ViewStages shows the stages of an attempt. Those it did not come to are
// pending while it runs and skipped afterwards.
func ViewStages(raw json.RawMessage, mode *string, finished bool) ([]StageView, error) {
	var stages []Stage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &stages); err != nil {
			return nil, fmt.Errorf("read stages: %w", err)
		}
	}
	rest := "pending"
	if finished {
		rest = "skipped"
	}
	out := make([]StageView, 0, len(StageKeys()))
	for _, key := range StageKeys() {
		v := StageView{Key: key, Label: Label(key, mode), Status: rest}
		for _, s := range stages {
			if s.Key == key {
				v.Status, v.StartedAt, v.FinishedAt, v.LogLines = s.Status, s.StartedAt, s.FinishedAt, s.LogLines
			}
		}
		out = append(out, v)
	}
	return out, nil
}
