package controller

import (
	"context"
	"log/slog"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

// Caller sends a request to another broker and waits for its answer. The error is a *runnelv1.Error.
type Caller interface {
	Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error)
}

// Config is what a Controller needs.
type Config struct {
	Env            *env.Env
	BrokerID       int32
	Alive          func(broker int32) bool
	Caller         Caller
	Log            *slog.Logger
	ValidateConfig func(map[string]string) error
}

// Controller is the Machine of the controller group.
type Controller struct {
	cfg Config
}

func New(c Config) *Controller                                               { return &Controller{cfg: c} }
func (c *Controller) Attach(g *multiraft.Group)                              { panic("x") }
func (c *Controller) State() *placement.State                                { panic("x") }
func (c *Controller) OnChange(f func(*placement.State))                      { panic("x") }
func (c *Controller) Do(ctx context.Context, r Request) (Response, error)    { panic("x") }
func (c *Controller) Serve(ctx context.Context, body []byte) ([]byte, error) { panic("x") }
