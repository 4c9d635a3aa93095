locals {
  labels = {
    "app.kubernetes.io/name"       = var.name
    "app.kubernetes.io/managed-by" = "terraform"
  }
  replicated = var.sqlite_replicate != null
  verified   = local.replicated && nonsensitive(var.healthchecks_io_url != null)
  preload    = "${local.backstay_folder}/lib/backstay/libbackstay_preload.so"

  app_env     = local.replicated ? { BACKSTAY_CONFIG = local.backstay_file, LD_PRELOAD = local.preload } : {}
  command_env = { BACKSTAY_CONFIG = local.backstay_file, BACKSTAY_LOG_FORMAT = "json" } # its lines for alerts, too
}

resource "kubernetes_secret_v1" "backstay" {
  count = local.replicated ? 1 : 0

  metadata {
    name      = "${var.name}-backstay"
    namespace = var.namespace
  }

  data = merge(
    { (basename(local.backstay_file)) = local.backstay_json },
    local.verified ? { ping-url = var.healthchecks_io_url } : {}
  )
}

resource "kubernetes_deployment_v1" "app" {
  metadata {
    name      = var.name
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    # One process ships a database at a time, and the volume is one pod's: the old pod ships its tail and ends before
    # the new one restores.
    replicas = 1
    strategy {
      type = "Recreate"
    }

    selector {
      match_labels = { "app.kubernetes.io/name" = var.name }
    }

    template {
      metadata {
        labels = local.labels
        # Changed settings start the pod anew. Changed keys do not: the process that runs takes them up.
        annotations = local.replicated ? { "backstay/config" = sha256(jsonencode(local.backstay_settings)) } : {}
      }

      spec {
        automount_service_account_token  = false
        termination_grace_period_seconds = 30 # more than drain-timeout

        security_context {
          run_as_non_root = true
          run_as_user     = var.user_id
          run_as_group    = var.user_id
          fs_group        = var.user_id
          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        volume {
          name = "tmp"
          empty_dir {}
        }

        dynamic "volume" {
          for_each = local.replicated ? ["application-state", "backstay"] : []
          content {
            name = volume.value
            empty_dir {
              size_limit = volume.value == "backstay" ? "100Mi" : null
            }
          }
        }

        dynamic "volume" {
          for_each = kubernetes_secret_v1.backstay
          content {
            name = "backstay-config"
            secret {
              secret_name = volume.value.metadata[0].name
              items {
                key  = basename(local.backstay_file)
                path = basename(local.backstay_file)
              }
            }
          }
        }

        # The command, the libraries and all that these need, for the application's container.
        dynamic "init_container" {
          for_each = local.replicated ? [1] : []
          content {
            name    = "backstay-install"
            image   = var.sqlite_replicate.image
            command = ["cp", "-r", "${local.backstay_folder}/.", "/target/"]

            security_context {
              allow_privilege_escalation = false
              read_only_root_filesystem  = true
              capabilities {
                drop = ["ALL"]
              }
            }

            volume_mount {
              name       = "backstay"
              mount_path = "/target"
            }
          }
        }

        # Succeeds, too, if there is no replica yet; else the application does not start.
        dynamic "init_container" {
          for_each = local.replicated ? [1] : []
          content {
            name  = "backstay-restore"
            image = var.sqlite_replicate.image
            args  = ["restore", "-if-db-not-exists", "-if-replica-exists", var.sqlite_replicate.file_path]

            dynamic "env" {
              for_each = local.command_env
              content {
                name  = env.key
                value = env.value
              }
            }

            security_context {
              allow_privilege_escalation = false
              read_only_root_filesystem  = true
              capabilities {
                drop = ["ALL"]
              }
            }

            volume_mount {
              name       = "application-state"
              mount_path = dirname(var.sqlite_replicate.file_path)
            }

            volume_mount {
              name       = "backstay-config"
              mount_path = dirname(local.backstay_file)
              read_only  = true
            }
          }
        }

        container {
          name  = var.name
          image = var.image

          port {
            name           = "http"
            container_port = var.expose_port
          }

          dynamic "env" {
            for_each = merge(var.env, local.app_env)
            content {
              name  = env.key
              value = env.value
            }
          }

          security_context {
            allow_privilege_escalation = false
            read_only_root_filesystem  = true
            capabilities {
              drop = ["ALL"]
            }
          }

          volume_mount {
            name       = "tmp"
            mount_path = "/tmp"
          }

          dynamic "volume_mount" {
            for_each = local.replicated ? {
              application-state = dirname(var.sqlite_replicate.file_path)
              backstay          = local.backstay_folder
              backstay-config   = dirname(local.backstay_file) # the folder: a file by sub_path would stay as it was
            } : {}
            content {
              name       = volume_mount.key
              mount_path = volume_mount.value
              read_only  = volume_mount.key != "application-state"
            }
          }

          dynamic "liveness_probe" {
            for_each = var.liveness_get_path == null ? [] : [var.liveness_get_path]
            content {
              http_get {
                path = liveness_probe.value
                port = "http"
              }
            }
          }

          # Never a liveness probe: a restart does not bring a replica back that cannot be reached.
          dynamic "readiness_probe" {
            for_each = try(var.sqlite_replicate.ready_only_while_replicating, false) ? [1] : []
            content {
              exec {
                command = ["${local.backstay_folder}/bin/backstay", "status", "-max-lag", "1m", var.sqlite_replicate.file_path]
              }
              timeout_seconds   = 5
              failure_threshold = 6
            }
          }
        }
      }
    }
  }
}

resource "kubernetes_service_v1" "web" {
  metadata {
    name      = var.name
    namespace = var.namespace
  }

  spec {
    selector = { "app.kubernetes.io/name" = var.name }
    port {
      name        = "http"
      port        = 80
      target_port = "http"
    }
  }
}
