package clients

import (
	"database/sql"
	"database/sql/driver"
	"os"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// pgxConfig makes a configuration of the JSON of a login.
func pgxConfig(text string) (*pgx.ConnConfig, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("postgres://" + PostgreSQL + "/postgres?sslmode=disable&connect_timeout=10")
	if err != nil {
		return nil, err
	}
	config.User, config.Password = l.Username, l.Password
	setDial(&config.Config)
	return config, nil
}

func PgxBefore() (*sql.DB, error) {
	config, err := pgxConfig(os.Getenv("DB"))
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	return db, nil
}

func PgxAfter(env *secrets.Env) (*sql.DB, error) {
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		config, err := pgxConfig(v.Reveal())
		if err != nil {
			return nil, err
		}
		return stdlib.GetConnector(*config), nil
	}))
	return db, nil
}

// mysqlConfig makes a configuration of the JSON of a login.
func mysqlConfig(text string) (*mysql.Config, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd = "tcp", MariaDB, l.Username, l.Password
	return config, nil
}

func MySQLBefore() (*sql.DB, error) {
	config, err := mysqlConfig(os.Getenv("DB"))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	return db, nil
}

func MySQLAfter(env *secrets.Env) (*sql.DB, error) {
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		config, err := mysqlConfig(v.Reveal())
		if err != nil {
			return nil, err
		}
		return mysql.NewConnector(config)
	}))
	return db, nil
}

func SqlxBefore() (*sqlx.DB, error) {
	config, err := pgxConfig(os.Getenv("DB"))
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	return sqlx.NewDb(db, "pgx"), nil
}

func SqlxAfter(env *secrets.Env) (*sqlx.DB, error) {
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		config, err := pgxConfig(v.Reveal())
		if err != nil {
			return nil, err
		}
		return stdlib.GetConnector(*config), nil
	}))
	return sqlx.NewDb(db, "pgx"), nil
}

func GormBefore() (*gorm.DB, error) {
	config, err := pgxConfig(os.Getenv("DB"))
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	return gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{})
}

func GormAfter(env *secrets.Env) (*gorm.DB, error) {
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		config, err := pgxConfig(v.Reveal())
		if err != nil {
			return nil, err
		}
		return stdlib.GetConnector(*config), nil
	}))
	return gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{})
}
