package run

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Artifact is a file that an attempt left behind, as stored.
type Artifact = dbsqlc.Artifact

// KindFile is the kind of artifacts that scripts write.
const KindFile = "file"

// NewArtifact is a file that is to be stored with the end of an attempt.
type NewArtifact struct {
	Name      string
	Kind      string // empty: KindFile
	MediaType string // empty: application/octet-stream
	Data      []byte
	Stored    *Upload // set if the content is stored already; then Data is nil
}

type storedArtifact struct {
	NewArtifact
	hash blob.Hash
	size int64
}

// storeArtifacts puts the content into blobs, before the transaction that refers
// to it.
func (e *Engine) storeArtifacts(ctx context.Context, in []NewArtifact) ([]storedArtifact, error) {
	out := make([]storedArtifact, 0, len(in))
	for _, a := range in {
		if a.Kind == "" {
			a.Kind = KindFile
		}
		if a.MediaType == "" {
			a.MediaType = "application/octet-stream"
		}
		if a.Stored != nil {
			out = append(out, storedArtifact{a, a.Stored.Blob, a.Stored.Size})
			continue
		}
		hash, err := blob.Put(ctx, e.DB, a.Data)
		if err != nil {
			return nil, fmt.Errorf("store artifact %q: %w", a.Name, err)
		}
		out = append(out, storedArtifact{a, hash, int64(len(a.Data))})
	}
	return out, nil
}

// keepArtifacts refers to the stored content as part of the attempt's end.
func (c *nodeTx) keepArtifacts(ctx context.Context, n *NodeRun, artifacts []storedArtifact) error {
	for _, s := range artifacts {
		a, err := c.e.q.InsertArtifact(ctx, c.tx, dbsqlc.InsertArtifactParams{
			ProjectID: n.ProjectID, FlowchartRunID: n.FlowchartRunID, NodeRunID: n.ID, Attempt: n.Attempt,
			Name: s.Name, Kind: s.Kind, MediaType: s.MediaType, Size: s.size, Blob: s.hash,
		})
		if err != nil {
			return fmt.Errorf("store artifact %q of node run %d: %w", s.Name, n.ID, err)
		}
		if err := c.e.announceArtifact(c.tx, n, &a); err != nil {
			return err
		}
	}
	return nil
}

// ArtifactView is an artifact as the API and events show it.
type ArtifactView struct {
	ID             int64     `json:"id"`
	TaskID         int64     `json:"task_id"`
	FlowchartRunID *int64    `json:"flowchart_run_id"`
	Attempt        int32     `json:"attempt"`
	Name           string    `json:"name"`
	Kind           string    `json:"kind"`
	MediaType      string    `json:"media_type"`
	Size           int64     `json:"size"`
	SHA256         string    `json:"sha256"`
	CreatedAt      time.Time `json:"created_at"`
}

// ViewArtifact shows an artifact.
func ViewArtifact(a *Artifact) ArtifactView {
	return ArtifactView{
		ID: a.ID, TaskID: a.NodeRunID, FlowchartRunID: a.FlowchartRunID, Attempt: a.Attempt, Name: a.Name, Kind: a.Kind,
		MediaType: a.MediaType, Size: a.Size, SHA256: blob.Hash(a.Blob).String(), CreatedAt: a.CreatedAt,
	}
}

type artifactPayload struct {
	ArtifactID      int64        `json:"artifact_id"`
	ArtifactType    string       `json:"artifact_type"`
	TaskID          int64        `json:"task_id"`
	FlowchartID     *int64       `json:"flowchart_id"`
	FlowchartRunID  *int64       `json:"flowchart_run_id"`
	FlowchartNodeID string       `json:"flowchart_node_id"`
	Artifact        ArtifactView `json:"artifact"`
}

func (e *Engine) announceArtifact(tx *postgres.Tx, n *NodeRun, a *Artifact) error {
	err := e.Log.Append(tx, event.Draft{
		Stream: StreamOfNode(n), Type: "flowchart:node_artifact:persisted", EntityKind: "node_artifact", EntityID: strconv.FormatInt(a.ID, 10),
		Rooms: RoomsOfNode(n), RequestID: n.RequestID, CorrelationID: n.CorrelationID,
		Payload: artifactPayload{
			ArtifactID: a.ID, ArtifactType: a.Kind, TaskID: n.ID, FlowchartID: n.FlowchartID, FlowchartRunID: n.FlowchartRunID,
			FlowchartNodeID: n.FlowchartNodeID, Artifact: ViewArtifact(a),
		},
	})
	if err != nil {
		return fmt.Errorf("announce artifact %d: %w", a.ID, err)
	}
	return nil
}

// Artifacts lists what a node run left behind, by attempt and name. Error:
// not_found.
func (e *Engine) Artifacts(ctx context.Context, nodeRunID int64) ([]Artifact, error) {
	if _, err := e.nodeRun(ctx, nodeRunID); err != nil {
		return nil, err
	}
	rows, err := e.q.ListArtifacts(ctx, e.DB, nodeRunID)
	if err != nil {
		return nil, fmt.Errorf("list artifacts of node run %d: %w", nodeRunID, err)
	}
	return rows, nil
}

// OpenArtifact begins to read an artifact. Error: not_found.
func (e *Engine) OpenArtifact(ctx context.Context, id int64) (Artifact, *blob.Content, error) {
	a, err := e.q.GetArtifact(ctx, e.DB, id)
	if postgres.NotFound(err) {
		return a, nil, errs.Ef(errs.NotFound, "artifact.not_found", "There is no artifact %d.", id)
	}
	if err != nil {
		return a, nil, fmt.Errorf("load artifact %d: %w", id, err)
	}
	content, err := blob.Open(ctx, e.DB, a.Blob)
	return a, content, err
}
