# What Backstay reads. The keys stand in the file, which comes from a Secret: a process takes up those of a changed file.
locals {
  backstay_folder = "/opt/backstay"
  backstay_file   = "/etc/backstay/backstay.json"

  # All but the keys.
  backstay_replicas = var.sqlite_replicate == null ? [] : [for replica in var.sqlite_replicate.replicas : {
    type        = "s3"
    endpoint    = replica.endpoint
    bucket      = replica.bucket
    path        = coalesce(replica.path, var.name)
    region      = replica.region
    skip-verify = replica.skip-verify
    ca-file     = "${local.backstay_folder}/etc/ca-certificates.crt"
  }]
  backstay_settings = var.sqlite_replicate == null ? null : {
    logging          = { level = "info", type = "json" }
    drain-on-sigterm = true
    drain-timeout    = "20s"
    dbs = [{
      path      = var.sqlite_replicate.file_path
      retention = var.sqlite_replicate.retention
      replicas  = local.backstay_replicas
    }]
  }

  backstay_json = var.sqlite_replicate == null ? null : jsonencode(merge(local.backstay_settings, {
    dbs = [merge(local.backstay_settings.dbs[0], {
      replicas = [for number, replica in var.sqlite_replicate.replicas : merge(local.backstay_replicas[number], {
        access-key-id     = replica.keys == null ? null : var.sqlite_keys[replica.keys].access-key-id
        secret-access-key = replica.keys == null ? null : var.sqlite_keys[replica.keys].secret-access-key
      })]
    })]
  }))
}
