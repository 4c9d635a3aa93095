variable "name" {
  description = "Name of the application, of all its objects, and its prefix in the buckets."
  type        = string
}

variable "namespace" {
  description = "Namespace of all objects."
  type        = string
  default     = "default"
}

variable "image" {
  description = "The application's image. It needs glibc, at least that of Debian 12 (2.36), and nothing else for Backstay."
  type        = string
}

variable "env" {
  description = "Environment variables of the application."
  type        = map(string)
  default     = {}
}

variable "expose_port" {
  description = "Port on which the application listens."
  type        = number
}

variable "liveness_get_path" {
  description = "Path that is asked whether the application is alive; null: nothing is asked."
  type        = string
  default     = null
}

variable "user_id" {
  description = "User and group of all containers of the pod, and group of its volumes."
  type        = number
  default     = 10001
}

variable "sqlite_replicate" {
  description = "What is replicated where; null: nothing is."
  type = object({
    file_path = string # the database's; its folder is the volume that a new node does not have
    replicas = list(object({
      bucket      = string
      endpoint    = optional(string) # null: Amazon's; without a scheme: https
      region      = optional(string)
      path        = optional(string) # null: the application's name
      skip-verify = optional(bool)
      keys        = optional(string) # name in sqlite_keys; null: LITESTREAM_… or AWS_… of the environment
    }))
    image                        = optional(string, "registry.local/backstay:0.1.0")
    retention                    = optional(string)
    verify_schedule              = optional(string, "17 4 * * 0")
    ready_only_while_replicating = optional(bool, false) # no requests while the database is not replicated
  })
  default = null
}

variable "sqlite_keys" {
  description = "Access keys of the buckets, by the names that the replicas give as keys."
  type = map(object({
    access-key-id     = string
    secret-access-key = string
  }))
  default   = {}
  sensitive = true
}

variable "healthchecks_io_url" {
  description = "Ping URL that is told every week whether the replicas can be restored; null: nothing is verified."
  type        = string
  default     = null
  sensitive   = true
}
