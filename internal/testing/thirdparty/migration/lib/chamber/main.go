// Command chamber does what chamber's exec does: it adds all parameters of a service to the environment, by one call
// for ten of them, and becomes the program.
//
//	chamber exec orders-prod -- ./orders
package main

import (
	"context"
	"log"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func main() {
	if len(os.Args) != 5 || os.Args[1] != "exec" || os.Args[3] != "--" {
		log.Fatal("usage: chamber exec SERVICE -- PROGRAM")
	}
	service, program := os.Args[2], os.Args[4]
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	environ := os.Environ()
	pages := ssm.NewGetParametersByPathPaginator(ssm.NewFromConfig(cfg), &ssm.GetParametersByPathInput{
		Path:           aws.String("/" + service),
		WithDecryption: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			log.Fatal(err)
		}
		for _, p := range page.Parameters {
			name := strings.ToUpper(strings.ReplaceAll(path.Base(*p.Name), "-", "_"))
			environ = append(environ, name+"="+*p.Value)
		}
	}
	log.Fatal(syscall.Exec(program, []string{program}, environ))
}
