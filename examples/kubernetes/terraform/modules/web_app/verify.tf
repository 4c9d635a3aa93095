# Every week: is what lies in the buckets the database? The answer goes to healthchecks.io, which also tells when none comes.
resource "kubernetes_cron_job_v1" "verify" {
  count = local.verified ? 1 : 0

  metadata {
    name      = "${var.name}-verify"
    namespace = var.namespace
  }

  spec {
    schedule           = var.sqlite_replicate.verify_schedule
    concurrency_policy = "Forbid"

    job_template {
      metadata {}
      spec {
        backoff_limit = 0 # the ping has told

        template {
          metadata {}
          spec {
            automount_service_account_token = false
            restart_policy                  = "Never"

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
              name = "backstay-config"
              secret {
                secret_name = kubernetes_secret_v1.backstay[0].metadata[0].name
                items {
                  key  = basename(local.backstay_file)
                  path = basename(local.backstay_file)
                }
              }
            }

            # What is verified is restored here.
            volume {
              name = "tmp"
              empty_dir {}
            }

            container {
              name  = "backstay-verify"
              image = var.sqlite_replicate.image
              args  = ["verify", var.sqlite_replicate.file_path]

              dynamic "env" {
                for_each = local.command_env
                content {
                  name  = env.key
                  value = env.value
                }
              }

              env {
                name = "BACKSTAY_PING_URL" # not an argument: the list of processes does not show it
                value_from {
                  secret_key_ref {
                    name = kubernetes_secret_v1.backstay[0].metadata[0].name
                    key  = "ping-url"
                  }
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
                name       = "backstay-config"
                mount_path = dirname(local.backstay_file)
                read_only  = true
              }

              volume_mount {
                name       = "tmp"
                mount_path = "/tmp"
              }
            }
          }
        }
      }
    }
  }
}
