// Command provisioner gives every claim of the node's storage class a folder of this machine, and removes the folder
// with its volume. It must not touch volumes that it did not make.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	resync = 30 * time.Second
	pause  = time.Second
)

func main() {
	var p provisioner
	var ca, certificate, key, server string
	flag.StringVar(&server, "server", "", "URL of the API server")
	flag.StringVar(&ca, "ca", "", "file of the API server's certificate authority")
	flag.StringVar(&certificate, "certificate", "", "file of the client certificate")
	flag.StringVar(&key, "key", "", "file of the client certificate's key")
	flag.StringVar(&p.folder, "folder", "", "folder below which volumes are made")
	flag.StringVar(&p.class, "class", "", "storage class that is served")
	flag.StringVar(&p.name, "name", "", "name of the provisioner in the storage class")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	api, err := newClient(server, ca, certificate, key)
	if err != nil {
		fmt.Fprintln(os.Stderr, "provisioner:", err)
		os.Exit(1)
	}
	p.api = api
	p.run(ctx)
}

type provisioner struct {
	api                 *client
	folder, class, name string
}

// run looks at everything whenever something changed, and every now and then.
func (p *provisioner) run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	for _, path := range []string{claimsPath, volumesPath} {
		go p.watch(ctx, path, changed)
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for {
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "provisioner:", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

// watch says that something changed, whatever it is.
func (p *provisioner) watch(ctx context.Context, path string, changed chan<- struct{}) {
	for ctx.Err() == nil {
		body, err := p.api.do(ctx, "GET", path+"?watch=true&timeoutSeconds=300", nil)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		lines := bufio.NewReader(body)
		for {
			if _, err := lines.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
				break
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		_ = body.Close()
	}
}

func (p *provisioner) reconcile(ctx context.Context) error {
	var claims, volumes list
	if err := p.api.get(ctx, claimsPath, &claims); err != nil {
		return fmt.Errorf("list claims: %w", err)
	}
	if err := p.api.get(ctx, volumesPath, &volumes); err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	exists := map[string]bool{}
	for _, volume := range volumes.Items {
		exists[volume.Metadata.Name] = true
		if volume.Status.Phase == "Released" && volume.Spec.Reclaim == "Delete" && volume.Metadata.Annotations[provisionedBy] == p.name {
			if err := p.remove(ctx, volume); err != nil {
				return err
			}
		}
	}
	for _, claim := range claims.Items {
		wanted := claim.Spec.Class == p.class && claim.Spec.VolumeName == "" && claim.Status.Phase == "Pending" &&
			claim.Metadata.Deleted == ""
		if wanted && !exists[volumeName(claim)] {
			if err := p.create(ctx, claim); err != nil {
				return err
			}
		}
	}
	return nil
}

func volumeName(claim item) string { return "pvc-" + claim.Metadata.UID }

// create makes the folder first: a volume that exists can be used.
func (p *provisioner) create(ctx context.Context, claim item) error {
	folder := filepath.Join(p.folder, volumeName(claim))
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("make the folder of claim %s/%s: %w", claim.Metadata.Namespace, claim.Metadata.Name, err)
	}
	// Pods run as any user, and folders of the machine do not change their owner for them.
	if err := os.Chmod(folder, 0o777); err != nil {
		return fmt.Errorf("open the folder of claim %s/%s: %w", claim.Metadata.Namespace, claim.Metadata.Name, err)
	}
	volume := map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolume",
		"metadata": map[string]any{"name": volumeName(claim), "annotations": map[string]string{provisionedBy: p.name}},
		"spec": map[string]any{
			"capacity": claim.Spec.Resources.Requests, "accessModes": claim.Spec.AccessModes,
			"persistentVolumeReclaimPolicy": "Delete", "storageClassName": p.class,
			"hostPath": map[string]string{"path": folder, "type": "Directory"},
			"claimRef": map[string]string{
				"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.Metadata.Namespace,
				"name": claim.Metadata.Name, "uid": claim.Metadata.UID,
			},
		},
	}
	if err := p.api.send(ctx, "POST", volumesPath, volume); err != nil {
		return fmt.Errorf("create the volume of claim %s/%s: %w", claim.Metadata.Namespace, claim.Metadata.Name, err)
	}
	return nil
}

// remove deletes the data first: a volume that is left says that there is something to delete.
func (p *provisioner) remove(ctx context.Context, volume item) error {
	folder := volume.Spec.HostPath.Path
	if filepath.Dir(folder) != filepath.Clean(p.folder) {
		return fmt.Errorf("volume %s: not removing %s, which is not below %s", volume.Metadata.Name, folder, p.folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove the folder of volume %s: %w", volume.Metadata.Name, err)
	}
	if err := p.api.send(ctx, "DELETE", volumesPath+"/"+volume.Metadata.Name, nil); err != nil {
		return fmt.Errorf("delete volume %s: %w", volume.Metadata.Name, err)
	}
	return nil
}
