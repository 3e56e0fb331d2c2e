<?php
// wp_install.php FOLDER: installs WordPress with the users root1, alice and bob.
// wp_install.php FOLDER USER: prints a login cookie of the user that is over.
if (isset($argv[2])) {
    require $argv[1] . '/wp-load.php';
    $user = get_user_by('login', $argv[2]);
    $over = time() - 60;
    echo rawurlencode(wp_generate_auth_cookie($user->ID, $over, 'logged_in', WP_Session_Tokens::get_instance($user->ID)->create($over)));
    exit;
}
define('WP_INSTALLING', true);
require $argv[1] . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
// No mail about the new site.
function wp_new_blog_notification() {}
wp_install('Acme', 'root1', 'root1@example.com', false, '', 'made-up-password');
foreach (['alice', 'bob'] as $name) {
    wp_create_user($name, 'made-up-password', "$name@example.com");
}
