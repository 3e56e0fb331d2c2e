#!/usr/bin/env bash
# Tomcat with form sign-in: tomcat.sh FOLDER PORT. It runs until it is killed.
set -euo pipefail
base=$1 port=$2
mkdir -p "$base"/{conf,logs,temp,webapps/app/WEB-INF,work}
cp /etc/tomcat10/*.xml /etc/tomcat10/*.properties "$base/conf/"
cat > "$base/conf/server.xml" <<X
<Server port="-1" shutdown="SHUTDOWN"><Service name="Catalina"><Connector port="$port" address="127.0.0.1" protocol="HTTP/1.1"/>
<Engine name="Catalina" defaultHost="localhost"><Realm className="org.apache.catalina.realm.UserDatabaseRealm" resourceName="UserDatabase"/><Host name="localhost" appBase="webapps"/></Engine></Service>
<GlobalNamingResources><Resource name="UserDatabase" auth="Container" type="org.apache.catalina.UserDatabase" factory="org.apache.catalina.users.MemoryUserDatabaseFactory" pathname="conf/tomcat-users.xml"/></GlobalNamingResources></Server>
X
cat > "$base/conf/tomcat-users.xml" <<X
<tomcat-users><role rolename="app"/><user username="alice" password="pw" roles="app"/><user username="bob" password="pw" roles="app"/></tomcat-users>
X
cat > "$base/webapps/app/WEB-INF/web.xml" <<X
<web-app version="6.0" xmlns="https://jakarta.ee/xml/ns/jakartaee"><security-constraint><web-resource-collection><web-resource-name>a</web-resource-name><url-pattern>/me.jsp</url-pattern></web-resource-collection><auth-constraint><role-name>app</role-name></auth-constraint></security-constraint>
<login-config><auth-method>FORM</auth-method><form-login-config><form-login-page>/login.jsp</form-login-page><form-error-page>/login.jsp</form-error-page></form-login-config></login-config><security-role><role-name>app</role-name></security-role></web-app>
X
echo '<form method="post" action="j_security_check"><input name="j_username"><input name="j_password"></form>' > "$base/webapps/app/login.jsp"
echo '<% if (request.getParameter("ttl") != null) session.setMaxInactiveInterval(1); %><%= request.getRemoteUser() %>' > "$base/webapps/app/me.jsp"
echo '<% session.invalidate(); %>bye' > "$base/webapps/app/logout.jsp"
export CATALINA_HOME=/usr/share/tomcat10 CATALINA_BASE="$base" CATALINA_OPTS="-Xmx128m -XX:TieredStopAtLevel=1"
exec /usr/share/tomcat10/bin/catalina.sh run
