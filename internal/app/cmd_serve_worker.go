package app

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/serving"
)

// serveWorker is what the master starts; people do not.
func (c *command) serveWorker() *cobra.Command {
	var in serving.Inherited
	var page bool
	cmd := &cobra.Command{
		Use: "serve-worker", Short: "One web worker process (started by serve)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runServeWorker(cmd.Context(), in, page) },
	}
	cmd.Flags().IntVar(&in.Channel, "channel", 0, "descriptor of the channel to the master")
	cmd.Flags().IntVar(&in.Private, "private", 0, "descriptor of the private socket")
	cmd.Flags().StringVar(&in.Name, "name", "", "name of the private socket")
	cmd.Flags().StringVar(&in.RunDir, "run-dir", "", "folder of the private sockets")
	cmd.Flags().IntSliceVar(&in.Listeners, "listener", nil, "descriptors of the listening sockets")
	cmd.Flags().BoolVar(&page, "with-web", false, "serve the page as well")
	return cmd
}

func (c *command) runServeWorker(ctx context.Context, in serving.Inherited, page bool) error {
	cfg, log, err := c.start(config.RoleServe)
	if err != nil {
		return err
	}
	open, err := serving.OpenListeners(in.Listeners)
	if err != nil {
		return err
	}
	private, err := serving.OpenListeners([]int{in.Private})
	if err != nil {
		return err
	}
	s, closeAll, err := c.webProcess(ctx, cfg, log, page, in.Name, in.RunDir)
	if err != nil {
		return err
	}
	defer closeAll()
	var server *serving.Server
	worker, err := serving.OpenWorker(serving.WorkerOptions{
		ChannelFD: in.Channel, Log: log, Reopen: func() { c.logs.reopen(log) }, Beat: cfg.Server.Timeout / 4,
		Stats: func(ctx context.Context) (serving.Stats, bool) { return s.figures(ctx, server) },
	})
	if err != nil {
		return err
	}
	secure, err := certificates(ctx, cfg, log, c.edge.Now)
	if err != nil {
		return err
	}
	o := s.serverOptions(open, secure)
	o.Recycle = worker.Recycle
	server = serving.NewServer(o)
	return worker.Run(ctx, func(ctx context.Context, ready func()) error {
		services := s.services(&privateListener{ln: private[0], handler: s.private(), log: log}, server)
		return lifecycle.NewGroup(log, cfg.Server.GracefulTimeout+10*time.Second, services...).Run(ctx, ready)
	})
}

// figures are what a beat says; false means that this process must not look alive,
// because what delivers events does not move.
func (s *studio) figures(ctx context.Context, server *serving.Server) (serving.Stats, bool) {
	out := server.Counts()
	sockets, hub := s.realtime.server.Stats(), s.realtime.hub.Status()
	out.WebSocket, out.Polling = sockets.WebSocket, sockets.Polling
	out.Realtime = serving.Realtime{
		Ready: hub.Ready, Reason: hub.Reason, Bus: hub.Bus,
		Connections: hub.Connections, Rooms: hub.Rooms, Streams: hub.Streams, Delivered: hub.Delivered, Replayed: hub.Replayed,
		FromLog: hub.FromLog, SlowCloses: hub.SlowCloses, LastSweep: hub.LastSweep.Time,
	}
	return out, s.realtime.hub.Moves(ctx)
}
