package sqliteimport

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// localServer is where a vLLM server listens unless told otherwise.
const localServer = "http://127.0.0.1:8000/v1"

// Longest texts, as the API takes them.
const (
	maxName      = 100
	maxModelName = 200
	maxURL       = 500
)

// vendor is a provider of the original.
type vendor struct {
	name string // as the original calls it
	show string
	kind string // as we call it
	key  string // the setting that holds its key
}

func vendors() []vendor {
	return []vendor{
		{"codex", "OpenAI", "openai", "codex_api_key"},
		{"claude", "Anthropic", "anthropic", "claude_api_key"},
		{"gemini", "Gemini", "gemini", "gemini_api_key"},
		{"vllm_local", "vLLM local", "openai", ""},
		{"vllm_remote", "vLLM remote", "openai", "vllm_remote_api_key"},
	}
}

func providerKeys() []string {
	var out []string
	for _, v := range vendors() {
		if v.key != "" {
			out = append(out, v.key)
		}
	}
	return out
}

func vendorOf(name string) (vendor, bool) {
	for _, v := range vendors() {
		if v.name == strings.ToLower(name) {
			return v, true
		}
	}
	return vendor{}, false
}

// providers makes a provider row for each vendor and address that is used.
type providers struct {
	im   *importer
	ids  map[string]int64 // kind, vendor and address
	last int64
	// names that are taken, in lower case
	names map[string]bool
}

// importModels writes models under the ids they had, and their providers.
func (im *importer) importModels(ctx context.Context) error {
	p := &providers{im: im, ids: map[string]int64{}, names: map[string]bool{}}
	im.usedKeys = map[string]bool{}
	names := map[string]bool{}
	im.rep.table("llm_models")
	err := im.src.each(ctx, "llm_models", func(r row) error {
		im.read("llm_models")
		return im.importModel(ctx, p, r, names)
	})
	if err != nil {
		return err
	}
	// A key without a model is still a provider that somebody set up.
	for _, v := range vendors() {
		if v.key == "" || im.settings["llm"][v.key] == "" || im.usedKeys[v.key] || im.o.Seal == nil {
			continue
		}
		base := ""
		if v.name == "vllm_remote" {
			base, _ = im.address(row{}, v, nil)
		}
		if _, err := p.get(ctx, v, base); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) importModel(ctx context.Context, p *providers, r row, names map[string]bool) error {
	const table = "llm_models"
	t := im.rep.table(table)
	id, ok := r.id("id")
	sid := im.sourceID(table, r)
	v, known := vendorOf(r.trimmed("provider"))
	config, isObject := r.object("config_json")
	model := short(im.modelName(v, config), maxModelName)
	reason := ""
	switch {
	case !ok:
		reason = "its id is no positive number"
	case !known:
		reason = fmt.Sprintf("its provider %q is unknown", short(r.trimmed("provider"), 40))
	case !isObject && r.trimmed("config_json") != "":
		reason = "its configuration is no JSON object"
	case model == "":
		reason = "it does not say which model of its provider it is"
	}
	if reason != "" {
		im.refuseRow(table, id, reason)
		return im.skip(ctx, table, r, reason)
	}
	base, note := im.address(r, v, config)
	if note != "" {
		t.note(note, sid)
	}
	providerID, err := p.get(ctx, v, base)
	if err != nil {
		return err
	}
	name, changed := unique(cmp.Or(r.trimmed("name"), model), names)
	if changed {
		t.note("its name was taken already, or too long, and was changed", sid)
	}
	if err := im.writeModel(ctx, r, id, providerID, name, model, config); err != nil {
		return err
	}
	im.models[id] = true
	t.written()
	_, err = im.archive(ctx, table, r, "the original's row of a model that was taken over")
	return err
}

func (im *importer) writeModel(ctx context.Context, r row, id, providerID int64, name, model string, config map[string]any) error {
	params, err := encode(params(config))
	if err != nil {
		return fmt.Errorf("encode the config of model %d: %w", id, err)
	}
	created, updated := im.created("llm_models", strconv.FormatInt(id, 10), r)
	_, err = im.tx.Exec(ctx, `INSERT INTO model (id, name, provider_id, model, config, created_at, updated_at)
		OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7)`, id, name, providerID, model, params, created, updated)
	if err != nil {
		return fmt.Errorf("write model %d: %w", id, err)
	}
	return nil
}

// modelName gives the provider's name for the model; vLLM models may leave it to
// the settings.
func (im *importer) modelName(v vendor, config map[string]any) string {
	name := textOf(config["model"])
	if name == "" && strings.HasPrefix(v.name, "vllm_") {
		name = im.settings["llm"][v.name+"_model"]
	}
	return clean(name)
}

// params are the settings that our models know too.
func params(config map[string]any) map[string]any {
	out := map[string]any{}
	number := func(from, to string, whole bool) {
		r := row{"": jsonNumber(config[from])}
		if n, ok := r.integer(""); whole && ok && n > 0 {
			out[to] = n
		} else if f := r.number(""); !whole && (f != 0 || textOf(r[""]) == "0") && f >= 0 {
			out[to] = f
		}
	}
	number("temperature", "temperature", false)
	number("top_p", "top_p", false)
	number("max_tokens", "max_tokens", true)
	number("seed", "seed", true)
	return out
}

// address gives the base URL of a model's provider, and what is to be said about
// it.
func (im *importer) address(_ row, v vendor, config map[string]any) (base, note string) {
	switch v.name {
	case "vllm_local":
		return localServer, "the original ran vLLM as a command; it now needs a server, taken to be at " + localServer + ": check its provider"
	case "vllm_remote":
		base = cmp.Or(textOf(config["base_url_override"]), textOf(config["base_url"]), im.settings["llm"]["vllm_remote_base_url"])
	default:
		return "", ""
	}
	base = strings.TrimRight(clean(base), "/")
	if base != "" && !strings.HasSuffix(base, "/v1") {
		base += "/v1"
	}
	u, err := url.Parse(base)
	switch {
	case base == "":
		return localServer, "the address of its server is not in the file, taken to be " + localServer + ": check its provider"
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(base) > maxURL:
		return localServer, "the address of its server cannot be used, replaced by " + localServer + ": check its provider"
	case u.User != nil:
		u.User = nil
		return u.String(), "the address of its server held a password, which was left out: enter it as the provider's key"
	}
	return base, ""
}

func urlWithPassword(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return false
	}
	_, set := u.User.Password()
	return set
}

// get gives the id of the provider for a vendor and address, made if needed.
func (p *providers) get(ctx context.Context, v vendor, base string) (int64, error) {
	at := v.name + " " + base
	if id, ok := p.ids[at]; ok {
		return id, nil
	}
	show := v.show
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		show += " (" + u.Host + ")"
	}
	name, _ := unique(show, p.names)
	p.last++
	id := p.last
	_, err := p.im.tx.Exec(ctx, `INSERT INTO provider (id, name, kind, base_url) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4)`, id, name, v.kind, base)
	if err != nil {
		return 0, fmt.Errorf("write provider %s: %w", name, err)
	}
	p.ids[at] = id
	return id, p.setKey(ctx, id, v)
}

// setKey seals the vendor's key into a provider.
func (p *providers) setKey(ctx context.Context, id int64, v vendor) error {
	key := p.im.settings["llm"][v.key]
	if v.key == "" || key == "" || p.im.o.Seal == nil {
		return nil
	}
	sealed, err := p.im.o.Seal.Seal([]byte(key), []byte("provider:"+strconv.FormatInt(id, 10)))
	if err != nil {
		return fmt.Errorf("seal the key of provider %d: %w", id, err)
	}
	fingerprint := ""
	if p.im.o.Fingerprint != nil {
		fingerprint = p.im.o.Fingerprint(key)
	}
	_, err = p.im.tx.Exec(ctx, `UPDATE provider SET api_key_ciphertext = $2, api_key_fingerprint = $3, api_key_set_at = now() WHERE id = $1`, id, sealed, fingerprint)
	if err != nil {
		return fmt.Errorf("write the key of provider %d: %w", id, err)
	}
	p.im.usedKeys[v.key] = true
	return nil
}

// unique gives a name that nobody has, whatever its case.
func unique(name string, taken map[string]bool) (out string, changed bool) {
	out = short(name, maxName)
	for n := 2; taken[strings.ToLower(out)]; n++ {
		suffix := fmt.Sprintf(" (%d)", n)
		out = short(name, maxName-len(suffix)) + suffix
	}
	taken[strings.ToLower(out)] = true
	return out, out != name
}

// defaultModel is what the original used where nothing was chosen.
func (im *importer) defaultModel() int64 {
	id, err := json.Number(im.settings["llm"]["default_model_id"]).Int64()
	if err != nil || !im.models[id] {
		return 0
	}
	return id
}
