package app

import (
	"log/slog"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/serving/proxyfix"
	"github.com/llmctl/studio/internal/telemetry"
)

// proxyFix is what the configuration believes of forwarded headers.
func proxyFix(cfg *config.Config, log *slog.Logger) *proxyfix.Fix {
	p := cfg.Proxy
	o := proxyfix.Options{Own: []string{p.APIPrefix, p.WebPrefix, cfg.SocketIO.Path}, Logger: log}
	if p.Enabled {
		o.Hops = proxyfix.Hops{For: p.For, Proto: p.Proto, Host: p.Host, Port: p.Port, Prefix: p.Prefix}
	}
	return proxyfix.New(o)
}

// measureProxy adds the figures of trusted headers that were given and not believed.
func measureProxy(fix *proxyfix.Fix, m *telemetry.Metrics) {
	count := func(pick func(proxyfix.Ignored) uint64) func() map[string]uint64 {
		return func() map[string]uint64 {
			out := map[string]uint64{}
			for header, ignored := range fix.Ignored() {
				out[header] = pick(ignored)
			}
			return out
		}
	}
	m.Counters("llmctl_forwarded_malformed_total", "Forwarded headers whose value cannot be what it claims to be.", "header",
		count(func(i proxyfix.Ignored) uint64 { return i.Malformed }))
	m.Counters("llmctl_forwarded_short_total", "Forwarded headers with fewer values than there are trusted hops.", "header",
		count(func(i proxyfix.Ignored) uint64 { return i.Short }))
}
