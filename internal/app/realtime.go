package app

import (
	"net/http"

	"github.com/llmctl/studio/internal/app/lifecycle"
)

type realtimeSide struct{}

func newRealtime(*studio) (*realtimeSide, error)      { return &realtimeSide{}, nil }
func (r *realtimeSide) handler() http.Handler         { return nil }
func (r *realtimeSide) services() []lifecycle.Service { return nil }
func (r *realtimeSide) notReady() []string            { return nil }
func (r *realtimeSide) Status() any                   { return nil }
