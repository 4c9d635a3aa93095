# One application, replicated to a NAS and off-site. Each further application is one more call of the module.

provider "kubernetes" {
  config_path = var.kubeconfig
}

module "notes" {
  source = "./modules/web_app"

  name              = "notes"
  image             = "registry.local/notes:1"
  expose_port       = 8080
  liveness_get_path = "/"

  sqlite_replicate = {
    file_path = "/data/app.db"
    replicas = [
      {
        endpoint = "my.local.minio"
        bucket   = "homeserver"
        keys     = "nas"
      },
      {
        endpoint = "s3.eu-central-2.wasabisys.com"
        region   = "eu-central-2"
        bucket   = "homeserver-offsite"
        keys     = "offsite"
      },
    ]
    ready_only_while_replicating = true
  }
  sqlite_keys         = var.keys
  healthchecks_io_url = var.healthchecks_io_url
}
