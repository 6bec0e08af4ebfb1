package sqliteimport

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// sectionImported is where settings go that mean nothing to this release.
const sectionImported = "imported"

func settingTables() []string { return []string{"integration_settings", "rag_settings"} }

func isSettings(table string) bool { return slices.Contains(settingTables(), table) }

// isCredential tells by its name, or by what it is, that a setting is a secret.
func isCredential(r row) bool {
	key := strings.ToLower(r.trimmed("key"))
	for _, part := range []string{"api_key", "apikey", "token", "secret", "password", "passwd", "private", "credential", "service_account", "ssh", "auth"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	if key == "pat" || strings.HasSuffix(key, "_pat") || key == "key" {
		return true
	}
	value := r.text("value")
	return strings.Contains(value, "PRIVATE KEY") || strings.Contains(value, "private_key") || urlWithPassword(value)
}

// readSettings loads the original's settings: models need some of them.
func (im *importer) readSettings(ctx context.Context) error {
	im.settings = map[string]map[string]string{}
	return im.src.each(ctx, "integration_settings", func(r row) error {
		provider := strings.ToLower(r.trimmed("provider"))
		if im.settings[provider] == nil {
			im.settings[provider] = map[string]string{}
		}
		im.settings[provider][strings.ToLower(r.trimmed("key"))] = r.trimmed("value")
		return nil
	})
}

// importSettings keeps what has no meaning here as it is, under one section.
// Credentials do not go there: a provider's key went into the provider, others
// are sealed in imported_row.
func (im *importer) importSettings(ctx context.Context) error {
	seen := map[string]bool{}
	for _, table := range settingTables() {
		im.rep.table(table)
		err := im.src.each(ctx, table, func(r row) error {
			im.read(table)
			return im.importSetting(ctx, table, r, seen)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) importSetting(ctx context.Context, table string, r row, seen map[string]bool) error {
	id := im.sourceID(table, r)
	provider, key := r.trimmed("provider"), r.trimmed("key")
	if table == "integration_settings" && strings.EqualFold(provider, "llm") && slices.Contains(providerKeys(), strings.ToLower(key)) {
		return im.importedKey(table, id, strings.ToLower(key), r)
	}
	name := strings.Join([]string{table, provider, key}, ".")
	switch {
	case provider == "" || key == "":
		return im.skip(ctx, table, r, "it has no provider or no name")
	case isCredential(r):
		return im.skip(ctx, table, r, "credentials of integrations that this release does not have")
	case seen[name]:
		return im.skip(ctx, table, r, "a setting of that name was read before")
	}
	seen[name] = true
	value, err := encode(r.text("value"))
	if err != nil {
		return fmt.Errorf("encode setting %s: %w", name, err)
	}
	_, updated := im.created(table, id, r)
	if err := im.out.add(ctx, "setting", sectionImported, name, value, updated); err != nil {
		return err
	}
	im.rep.table(table).written()
	return nil
}

// importedKey counts the key of a model provider, which importModels dealt with.
func (im *importer) importedKey(table, id, key string, r row) error {
	t := im.rep.table(table)
	switch {
	case r.trimmed("value") == "":
		t.skipped("an empty key", id)
	case im.o.Seal == nil:
		t.skipped("keys of model providers: "+strings.TrimPrefix(reasonNoKey, "they hold credentials and "), id)
	case !im.usedKeys[key]:
		t.skipped("the key of a provider that was read before", id)
	default:
		t.written()
	}
	return nil
}
