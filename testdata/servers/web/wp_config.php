<?php
// WordPress's settings, from the environment. It sends no requests of its own.
define('DB_NAME', 'wp');
define('DB_USER', getenv('DB_USER'));
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:' . getenv('SOCKET'));
define('WP_HOME', getenv('ORIGIN'));
define('WP_SITEURL', getenv('ORIGIN'));
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $k) {
    define($k . '_KEY', hash('sha256', $k));
    define($k . '_SALT', hash('sha256', "salt $k"));
}
$table_prefix = 'wp_';
if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
