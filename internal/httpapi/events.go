package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

type listEventsInput struct {
	Stream string `query:"stream" required:"true" minLength:"1" maxLength:"200" doc:"For example flowchart_run:7"`
	After  int64  `query:"after" minimum:"0" doc:"Sequence of the last event that is known"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

type eventsOutput struct {
	Body struct {
		Items []event.Envelope `json:"items"`
		Last  int64            `json:"last_sequence" doc:"The stream's newest number"`
	}
}

func (s *server) registerEvents() {
	handle(s, route{
		method: http.MethodGet, path: "/events", id: "list-events", tag: "events", permission: auth.Read,
		summary: "A stream's events after a number, in order, without a gap",
	}, func(ctx context.Context, in *listEventsInput) (*eventsOutput, error) {
		rows, err := event.ReadStream(ctx, s.deps.DB, in.Stream, in.After, in.Limit)
		if err != nil {
			return nil, err
		}
		head, err := event.ReadHead(ctx, s.deps.DB, in.Stream)
		if err != nil {
			return nil, err
		}
		if in.After+1 < head.Oldest {
			return nil, errs.Ef(errs.NotFound, "event.expired",
				"Events of %s before number %d have been removed. Load the resource itself instead.", in.Stream, head.Oldest)
		}
		out := &eventsOutput{}
		out.Body.Items, out.Body.Last = make([]event.Envelope, len(rows)), head.Last
		for i, r := range rows {
			out.Body.Items[i] = r.Envelope
		}
		return out, nil
	})
}
