package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
)

// catalogModels are the models of the catalog, as threads know them.
type catalogModels struct{ catalog *catalog.Catalog }

func (c catalogModels) Model(ctx context.Context, q postgres.Querier, id int64) (chat.Model, error) {
	m, p, err := c.catalog.GetModelIn(ctx, q, id)
	return chat.Model{ID: m.ID, Name: m.Name, ProviderKind: p.Kind, ProviderName: p.Name, Model: m.Model, Config: m.Config}, err
}

type noTurns struct{}

func (noTurns) Enqueue(context.Context, *postgres.Tx, []chat.Pointer) error { return nil }

// withModel adds a model that nobody asks: these tests have no worker.
func (b *testBundle) withModel(t *testing.T) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `WITH p AS (INSERT INTO provider (name, kind) VALUES ('p', 'demo') RETURNING id)
		INSERT INTO model (name, provider_id, model) SELECT 'm', id, 'm' FROM p`)
	require.NoError(t, err)
}

func TestATurnCannotChooseWhatItsThreadChooses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Before anything else: the thread does not exist, and the message is missing.
	for _, member := range []string{"model_id", "response_complexity", "mcp_server_ids", "source_ids", "collections"} {
		res := b.do(t, http.MethodPost, "/api/threads/4711/turns", `{"`+member+`": null}`, b.as(auth.Editor))
		require.Equal(t, http.StatusBadRequest, res.status, res.raw)
		require.Equal(t, "CHAT_SESSION_SCOPE_SELECTOR_OVERRIDE", res.at(t, "code"))
		require.Equal(t, "application/problem+json", res.header.Get("Content-Type"))
		require.NotEmpty(t, res.at(t, "request_id"))
	}
	b.do(t, http.MethodPost, "/api/threads/4711/turns", `{"model_id": 1}`).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/threads/4711/turns", `{"message":"hi"}`)
}

func TestAThreadIsMadeChangedAndRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/threads", `{"title":"  one   thread "}`, header{"Idempotency-Key", "k1"})
	path := "/api/threads/" + made.id(t, "id")
	require.Equal(t, "one thread", made.at(t, "title"))
	again := b.admin(t, http.StatusCreated, http.MethodPost, "/api/threads", `{"title":"  one   thread "}`, header{"Idempotency-Key", "k1"})
	require.Equal(t, made.at(t, "id"), again.at(t, "id"))

	posted := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/turns", `{"message":"hello"}`)
	require.Equal(t, "queued", posted.at(t, "turn", "status"))
	turn := path + "/turns/" + posted.id(t, "turn", "id")
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, "hello", got.at(t, "messages", 0, "content"))
	require.Equal(t, "pending", got.at(t, "messages", 1, "status"))
	require.Equal(t, true, got.at(t, "busy"))
	require.Equal(t, "thread:"+made.id(t, "id"), got.at(t, "as_of", "stream"))
	require.Nil(t, got.at(t, "live"))
	require.Equal(t, []string{"thread:thread:updated", "thread:turn:updated"}, b.events(t, "thread:"+made.id(t, "id")))

	require.Equal(t, "cancelled", b.admin(t, http.StatusAccepted, http.MethodPost, turn+"/cancel", nil).at(t, "turn", "status"))
	b.admin(t, http.StatusConflict, http.MethodPost, turn+"/cancel", nil)
	require.Equal(t, "cancelled", b.admin(t, http.StatusOK, http.MethodGet, turn, nil).at(t, "turn", "status"))
	b.admin(t, http.StatusAccepted, http.MethodPost, turn+"/regenerate", nil)

	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"title":"x"}`, header{"If-Match", `"99"`})
	require.Equal(t, "x", b.admin(t, http.StatusOK, http.MethodPatch, path, `{"title":"x","response_complexity":"high"}`).at(t, "title"))
	b.do(t, http.MethodPatch, path, `{"model_id":99}`, b.as(auth.Editor)).problem(t, http.StatusUnprocessableEntity, "invalid", "thread.invalid")
	require.Equal(t, "x", b.admin(t, http.StatusOK, http.MethodGet, "/api/threads?title=X", nil).at(t, "items", 0, "title"))
	require.Equal(t, json.Number("16000"), b.admin(t, http.StatusOK, http.MethodGet, path+"/context", nil).at(t, "window_tokens"))
	require.Equal(t, true, b.admin(t, http.StatusAccepted, http.MethodDelete, path, nil).at(t, "deleted"))
	b.admin(t, http.StatusNotFound, http.MethodGet, path, nil)
	b.admin(t, http.StatusOK, http.MethodPost, path+"/restore", nil)
	b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	items := b.admin(t, http.StatusOK, http.MethodGet, "/api/chat/activity?class=thread_lifecycle", nil)
	require.Equal(t, "restored", items.at(t, "items", 0, "action"))
}

func TestMessagesAndThreadsArePaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	for range 3 {
		b.admin(t, http.StatusCreated, http.MethodPost, "/api/threads", `{}`)
	}
	first := b.admin(t, http.StatusOK, http.MethodGet, "/api/threads?limit=2", nil)
	second := b.admin(t, http.StatusOK, http.MethodGet, "/api/threads?limit=2&cursor="+first.at(t, "next_cursor").(string), nil)
	require.Nil(t, second.at(t, "next_cursor"))
	require.NotEqual(t, first.at(t, "items", 1, "id"), second.at(t, "items", 0, "id"))
	path := "/api/threads/" + first.id(t, "items", 0, "id")
	for _, m := range []string{"a", "b", "c"} {
		b.admin(t, http.StatusAccepted, http.MethodPost, path+"/turns", `{"message":"`+m+`"}`)
	}
	page := b.admin(t, http.StatusOK, http.MethodGet, path+"/messages?limit=4", nil)
	require.Equal(t, "b", page.at(t, "items", 0, "content"))
	require.Nil(t, page.at(t, "previous_cursor"))
	older := b.admin(t, http.StatusOK, http.MethodGet, path+"/messages?limit=4&cursor="+page.at(t, "next_cursor").(string), nil)
	require.Equal(t, "a", older.at(t, "items", 0, "content"))
	require.Nil(t, older.at(t, "next_cursor"))
	newer := b.admin(t, http.StatusOK, http.MethodGet, path+"/messages?limit=4&cursor="+older.at(t, "previous_cursor").(string), nil)
	require.Equal(t, "b", newer.at(t, "items", 0, "content"))
	for _, bad := range []string{"x1", "b", "a-1", "b0", "bzzzzzzzzz"} {
		b.do(t, http.MethodGet, path+"/messages?cursor="+bad, nil, b.as(auth.Viewer)).problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid_cursor")
	}
}

func TestFilesAreUploadedAndChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	path := "/api/threads/" + b.admin(t, http.StatusCreated, http.MethodPost, "/api/threads", `{}`).id(t, "id")
	made := b.admin(t, http.StatusCreated, http.MethodPost, path+"/attachments?name=..%2Fnotes.md", "some text", header{"Content-Type", ""}, header{"Content-Type", "application/octet-stream"})
	require.Equal(t, "notes.md", made.at(t, "name"))
	require.Equal(t, "text", made.at(t, "kind"))
	file := "/api/attachments/" + made.id(t, "id")
	got := b.admin(t, http.StatusOK, http.MethodGet, file+"/content", nil)
	require.Equal(t, "some text", got.raw)
	require.Contains(t, got.header.Get("Content-Disposition"), "attachment")
	b.do(t, http.MethodPost, path+"/attachments?name=a.bin", "\x00\x01", b.as(auth.Editor), header{"Content-Type", ""}, header{"Content-Type", "application/octet-stream"}).
		problem(t, http.StatusUnprocessableEntity, "invalid", "attachment.unsupported")
	b.admin(t, http.StatusNoContent, http.MethodDelete, file, nil)
	b.admin(t, http.StatusNotFound, http.MethodDelete, file, nil)
}

func TestSettingsOfThreadsAreCheckedAndVersioned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/api/settings/chat_runtime"
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, json.Number("15"), got.at(t, "tools_percent"))
	b.admin(t, http.StatusOK, http.MethodPatch, path, `{"history_percent":50,"on_busy":"refuse"}`, header{"If-Match", got.header.Get("ETag")})
	b.do(t, http.MethodPatch, path, `{"history_percent":55}`, b.as(auth.Admin), header{"If-Match", got.header.Get("ETag")}).problem(t, http.StatusPreconditionFailed, "precondition", "setting.stale")
	b.do(t, http.MethodPatch, path, `{"target_percent":100,"history_percent":90,"default_model_id":5}`, b.as(auth.Admin)).problem(t, http.StatusUnprocessableEntity, "invalid", "setting.invalid")
	got = b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, json.Number("50"), got.at(t, "history_percent"))
	require.Equal(t, "refuse", got.at(t, "on_busy"))
	b.do(t, http.MethodPatch, path, `{}`, b.as(auth.Editor)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
}
