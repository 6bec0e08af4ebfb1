package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving/control"
)

// auditTimeout bounds how long a command of the control socket waits for the
// database: the socket is what operators need when the database is in trouble.
const auditTimeout = 2 * time.Second

// control is the control socket; nil: there is none.
func (m *master) control(ctx context.Context) lifecycle.Service {
	cfg := m.cfg.Load().Server
	if cfg.ControlSocketDisable {
		return nil
	}
	socket, ok := control.Listen(ctx, control.SocketOptions{
		Path: cfg.ControlSocket, Fallback: control.DefaultFallback, Mode: cfg.ControlSocketMode, Replace: m.upgraded, Logger: m.log,
	})
	if !ok {
		return nil
	}
	return control.NewServer(control.Options{
		Socket: socket, Logger: m.log, Now: m.c.edge.Now, Audit: m.audit,
		Arbiter: m.arbiter.Steering(
			func() control.Config { return m.shownConfig(socket.Path()) },
			func() bool { return m.cfg.Load().Server.Certfile != "" },
		),
	})
}

// shownConfig is the configuration in effect in Gunicorn's terms.
func (m *master) shownConfig(socket string) control.Config {
	c := m.cfg.Load().Server
	return control.Config{
		Bind: c.Bind, Workers: c.Workers, WorkerClass: c.WorkerClass, Threads: c.Threads, Timeout: c.Timeout,
		GracefulTimeout: c.GracefulTimeout, Keepalive: c.Keepalive, MaxRequests: c.MaxRequests, MaxRequestsJitter: c.MaxRequestsJitter,
		WorkerConnections: c.WorkerConnections, ProcName: "llmctl", ControlSocket: socket, ControlSocketDisable: c.ControlSocketDisable,
		Extra: map[string]any{
			"loglevel": c.LogLevel, "accesslog": c.AccessLog, "errorlog": c.ErrorLog, "access_log_format": c.AccessLogFormat,
			"certfile": c.Certfile, "keyfile": c.Keyfile, "ca_certs": c.CACerts,
			"control_socket_mode": fmt.Sprintf("%#o", c.ControlSocketMode), "internal_bind": c.InternalBind,
		},
	}
}

// audit notes a command of the control socket.
func (m *master) audit(ctx context.Context, e control.Entry) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	err := m.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		return auth.Audit(ctx, tx, auth.AuditEntry{
			Action: "control." + action(e.Changes), EntityKind: "process", EntityID: strconv.Itoa(e.Peer.PID),
			Detail: map[string]any{"command": e.Command, "uid": e.Peer.UID, "pid": e.Peer.PID, "error": e.Error},
		})
	})
	if err != nil {
		m.log.WarnContext(ctx, "a command of the control socket is not in the audit log", "command", e.Command, "error", err)
	}
}

func action(changes bool) string {
	if changes {
		return "changed"
	}
	return "asked"
}
