package app

import (
	"log/slog"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/serving/proxyfix"
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
