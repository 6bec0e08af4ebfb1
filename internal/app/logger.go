package app

import (
	"io"
	"log/slog"
)

// newLogger logs text to a terminal and JSON elsewhere, at Gunicorn's levels.
func newLogger(w io.Writer, level string) *slog.Logger {
	o := &slog.HandlerOptions{Level: map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError + 4,
	}[level]}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
