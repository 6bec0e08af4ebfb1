package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
)

type podLogInput struct {
	IDInput
	Number int32 `path:"number" minimum:"1" doc:"number of the attempt"`
	After  int32 `query:"after" minimum:"0" doc:"seq of the last piece that is known"`
	Limit  int32 `query:"limit" minimum:"1" maximum:"1000" default:"500"`
}

type podLogPiece struct {
	Seq  int32     `json:"seq"`
	At   time.Time `json:"at"`
	Text string    `json:"text" doc:"Lines, each with the time at which the pod wrote it"`
}

func (s *server) registerPodLog() {
	handle(s, route{
		method: http.MethodGet, path: "/nodes/{id}/attempts/{number}/pod-log", id: "get-attempt-pod-log", tag: "nodes", permission: auth.Read,
		summary: "What the pod of an attempt wrote to its standard output, for people",
	}, func(ctx context.Context, in *podLogInput) (*pageOutput[podLogPiece], error) {
		pieces, err := s.deps.Engine.PodLog(ctx, in.ID, in.Number, in.After, in.Limit)
		if err != nil {
			return nil, err
		}
		out := &pageOutput[podLogPiece]{Body: page[podLogPiece]{Items: make([]podLogPiece, len(pieces))}}
		for i, p := range pieces {
			out.Body.Items[i] = podLogPiece{Seq: p.Seq, At: p.At, Text: p.Text}
		}
		return out, nil
	})
}
