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
	var channel int
	var listeners []int
	var page bool
	cmd := &cobra.Command{
		Use: "serve-worker", Short: "One web worker process (started by serve)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runServeWorker(cmd.Context(), uintptr(channel), listeners, page)
		},
	}
	cmd.Flags().IntVar(&channel, "channel", 0, "descriptor of the channel to the master")
	cmd.Flags().IntSliceVar(&listeners, "listener", nil, "descriptors of the listening sockets")
	cmd.Flags().BoolVar(&page, "with-web", false, "serve the page as well")
	return cmd
}

func (c *command) runServeWorker(ctx context.Context, channel uintptr, fds []int, page bool) error {
	cfg, log, err := c.load(config.RoleServe)
	if err != nil {
		return err
	}
	inherited := make([]uintptr, len(fds))
	for i, fd := range fds {
		inherited[i] = uintptr(fd)
	}
	open, err := serving.OpenListeners(inherited)
	if err != nil {
		return err
	}
	s, closeAll, err := c.webProcess(ctx, cfg, log, page)
	if err != nil {
		return err
	}
	defer closeAll()
	var server *serving.Server
	worker, err := serving.OpenWorker(serving.WorkerOptions{
		ChannelFD: channel, Log: log, Now: c.edge.Now, Reopen: func() {},
		Stats: func(ctx context.Context) (serving.Stats, bool) { return s.figures(ctx, server) },
	})
	if err != nil {
		return err
	}
	o := s.serverOptions(open, nil)
	o.Recycle = worker.Recycle
	server = serving.NewServer(o)
	return worker.Run(ctx, func(ctx context.Context, ready func()) error {
		group := lifecycle.NewGroup(log, cfg.Server.GracefulTimeout+10*time.Second, s.services(server)...)
		return group.Run(ctx, ready)
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
